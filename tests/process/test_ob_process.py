"""The order book as a process: a capture replayed, read from outside."""

import orjson

from dolphin_mp.workers.ob import OrderBook


def test_every_change_of_a_top_can_be_read_from_outside(up, world, tmp_path):
    head = {"jsonrpc": "2.0", "method": "subscription"}
    lines = ['wss://x <- 1000.0: {"params":{"channels":["book.A-1.raw"]}}']
    for n in range(300):
        data = {
            "instrument_name": "A-1",
            "timestamp": 5,
            "change_id": n,
            "asks": [],
            "bids": [["new", 1 + n, 2]],
        }
        data |= {"type": "change", "prev_change_id": n - 1} if n else {"type": "snapshot"}
        text = orjson.dumps(head | {"params": {"channel": "book.A-1.raw", "data": data}}).decode()
        lines.append(f"{1000 + n / 50}: {text}")
    (tmp_path / "DERIBIT.ws.1.0").write_text("\n".join(lines) + "\n")
    options = {"feed": "replay", "venue": "deribit", "path": str(tmp_path), "speed": 0.0}
    client, watcher = up({"ob": (OrderBook, {"options": options})})
    watcher.until_state("ob", "done")
    updates = [record.value for record in client.channel("ob.updates").history(1000)]
    assert [int(update["n_applied"]) for update in updates] == list(range(300))
    assert [float(update["bid"]) for update in updates] == [1.0 + n for n in range(300)]
    assert {update["symbol"].item() for update in updates} == {b"A-1"}
    last = client.latest("ob.book").value[0]
    assert (last["bid"], last["n_applied"], last["synced"], last["n_bad"]) == (300.0, 299, 1, 0)
