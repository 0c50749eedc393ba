"""Whatever a venue says: a dialect never raises, and a parser raises nothing but what feeds expect."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from dolphin_mp.workers.books.events import BadMessageError
from dolphin_mp.workers.books.venues import VENUES
from dolphin_mp.workers.feeds.dialects import DIALECTS

KEYS = [
    "channel", "type", "data", "symbol", "bids", "asks", "price", "qty", "checksum", "timestamp", "method",
    "result", "success", "error", "event", "arg", "args", "instType", "instId", "action", "seq", "pseq", "ts",
    "events", "sequence_num", "product_id", "updates", "side", "price_level", "new_quantity", "trades",
    "subscriptions", "level2", "message", "code", "msg", "e", "X", "s", "params", "jsonrpc", "id", "depth",
    "instrument_name", "change_id", "prev_change_id", "seqId", "prevSeqId", "stream", "time", "size",
]  # fmt: skip
WORDS = [
    "book", "books", "trade", "trades", "l2_data", "market_trades", "subscriptions", "heartbeat",
    "status", "snapshot", "update", "subscribe", "error", "notice", "depthUpdate", "A/B", "A-B", "AB", "SPOT",
    "1.5", "0", "7", "nan", "bid", "offer", "buy", "SELL", "subscription", "test_request", "book.A-B.100ms",
    "trades.A-B.100ms", "change", "new", "delete", "2023-10-06T17:35:55.440295Z", "MARKET", "serverShutdown",
]  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers(-2, 2**63) | st.floats(allow_nan=False) | st.sampled_from(WORDS)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=7),
    max_leaves=30,
)
messages = st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=8)


@given(messages, st.sampled_from(sorted(VENUES)))
@settings(max_examples=500, deadline=None)
def test_nothing_said_breaks_a_feed(message: dict[str, Any], venue: Any) -> None:
    for payload in (orjson.dumps(message), orjson.dumps(message)[:-5]):
        assert isinstance(DIALECTS[venue].hear(payload), tuple)
        with suppress(BadMessageError):
            assert isinstance(VENUES[venue].parse(payload), tuple)
        assert isinstance(VENUES[venue].symbols_sent(payload), list)
