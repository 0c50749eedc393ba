"""Order books as pure functions: a venue's bytes become events, events a book, a book a record.

Nothing here opens a socket, reads a clock or knows the framework, so a capture, a simulator and a live
connection drive the same code. Each line may import only the lines above it::

    events     what a venue said, as plain records
    rules      how a venue's books start, continue and are proven
    near       the prices nearest to the touch, kept sorted at little cost
    side       one side of a book: the way back, and the venue's own texts
    book       one symbol's two sides, checked and applied whole or not at all
    features   numbers computed from the best levels
    windows    sums and means over the last while
    stoikov    a micro-price fitted to the market's recent past
    record     the published rows, their states and their layouts
    texts      numbers as venues write them
    binance …  one module per venue: bytes -> events
    venues     the table of venues
    entry      one symbol: its book, what follows from its changes, its row
    market     the books of one feed, their counts and their rows
    capture    files of a recorded session, merged by time
    replay     a capture played into a market
    sim        a seeded market of random orders
"""
