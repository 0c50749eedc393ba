"""The order book as a process: a capture replayed, read from outside."""

import numpy as np
import orjson
import pytest
from exchange import DIALECTS, Venue

from dolphin_mp.workers.books.record import UPDATE, Status
from dolphin_mp.workers.books.replay import Replay
from dolphin_mp.workers.books.venues import VENUES
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


def live(name, venue, **options):
    urls = {"url": venue.url} | ({"rest_url": venue.rest_url} if "binance" in name else {})
    options = {"feed": "live", "venue": name, "symbols": venue.symbols, **urls, **options}
    return {"ob": (OrderBook, {"every": "20ms", "options": options})}


def wait_for_rows(world, client, is_so):
    """Give the first two rows once they are so."""
    version = 0
    while True:
        version = world.version(client, "ob.book", version)
        rows = client.latest("ob.book").value[:2]
        if is_so(rows):
            return rows


@pytest.mark.parametrize(
    ("name", "symbols"),
    [("binance-futures", ["BTCUSDT", "ETHUSDT"]), ("kraken", ["BTC/USD", "ETH/USD"])],
)
def test_a_recorded_session_replays_to_the_same_updates(up, world, tmp_path, name, symbols):
    folder = tmp_path / "recorded"
    with Venue(DIALECTS[name], symbols, seed=1) as venue:
        client, watcher = up(live(name, venue, feed="record", path=str(folder)))
        venue.wait_for_book()
        venue.run(per_s=50)
        wait_for_rows(world, client, lambda rows: (rows["n_applied"] > 50).all())
        venue.drop()
        rows = wait_for_rows(world, client, lambda rows: (rows["resyncs"] > 0).all())
        assert set(rows["status"].tolist()) <= {Status.OK, Status.DEGRADED}
        client.stop("ob")
        watcher.until_state("ob", "stopped")
        told = [record.value.tobytes() for record in client.channel("ob.updates").history(16_000)]
        assert venue.excesses == []
    row, replayed = np.zeros((), UPDATE), []

    def keep(values):
        row[()] = values
        replayed.append(row.tobytes())

    for _ in Replay(folder, VENUES[name], changed=keep).frames(100_000_000):
        pass
    assert replayed == told
    assert len(told) > 50


def test_a_venue_that_is_not_there_is_a_state_and_no_crash(up, world):
    with Venue(DIALECTS["kraken"], ["BTC/USD"]) as venue:
        components = live("kraken", venue)
    client, watcher = up(components)
    rows = wait_for_rows(world, client, lambda rows: True)
    world.version(client, "ob.book", 20)  # the beat goes on
    assert rows["status"].tolist() == [Status.INIT, Status.INIT]
    assert client.status()["components"][0]["state"] == "ready"
    client.stop("ob")
    row = watcher.until_state("ob", "stopped")
    assert row["restarts"] == 0


def test_a_stop_waits_for_no_venue(up, world):
    with Venue(DIALECTS["kraken"], ["BTC/USD"]) as venue:
        client, watcher = up(live("kraken", venue))
        venue.wait_for_book()
        venue.move(3)
        wait_for_rows(world, client, lambda rows: rows["synced"][0] == 1)
        venue.stall()
        client.stop("ob")
        assert watcher.until_state("ob", "stopped")["restarts"] == 0
