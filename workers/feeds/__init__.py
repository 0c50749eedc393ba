"""Live feeds: a venue's present public API, spoken over websockets and HTTP, in the words of `books`.

Deciding is pure (what to send, when to connect anew, which book needs a snapshot); one loop moves the bytes.
Each line may import only the lines above it, and all of them `dolphin_mp.workers.books`::

    dialect      what a venue's live API is like: words, limits, and the table's protocol
    dialects     one module per venue, and the table of them
    backoff      delays that grow, with jitter
    rates        how often something may be done
    wants        one symbol: how far its book has come, and when it is asked for again
    vocabulary   what happens to a connection, and what is to be done about it
    asker        what one connection says: answers, pings, questions, within the limits
    session      one connection's life as a state machine: events in, actions out
    clock        the feed's time, which never runs backward
    renewals     when a recording needs new snapshots
    recorder     raw messages to rotated files, in the format that `books.capture` reads
    options      what the options of a live feed must be
    fetch        one HTTP request
    sockets      websockets, opened and spoken to
    line         one connection: socket, HTTP and clock to the session, events to a market
    live         the connections of a feed, their books as one record
"""
