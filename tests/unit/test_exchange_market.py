"""The market of the local venues, their limits and checksums, without a network."""

import json
from decimal import Decimal
from pathlib import Path
from zlib import crc32

import exchange
import pytest
from exchange.bitget import Bitget
from exchange.kraken import Kraken, checksum
from exchange.market import Market
from exchange.meter import Limit, Meter
from exchange.words import Message, Peer


def market(seed=3, tick="0.10", lot="0.001", price="25000"):
    return Market("X", seed, tick, lot, price)


def test_a_market_follows_from_its_seed():
    first, second, other = market(), market(), market(4)
    stories = [[each.tell(at) for at in range(50)] for each in (first, second, other)]
    assert stories[0] == stories[1] != stories[2]


@pytest.mark.parametrize("seed", range(5))
def test_a_book_is_never_crossed_and_no_side_empty_though_thin(seed):
    one, thinnest = market(seed), 100
    book = {"bids": dict(one.told_bids), "asks": dict(one.told_asks)}
    for at in range(2000):
        update = one.tell(at)
        assert 0 < max(one.bids) < min(one.asks)
        thinnest = min(thinnest, len(one.bids), len(one.asks))
        for side in ("bids", "asks"):
            for change in getattr(update, side):
                assert book[side].pop(change.ticks, 0) == change.before
                if change.lots:
                    book[side][change.ticks] = change.lots
        assert book == {"bids": one.bids, "asks": one.asks}
        assert update.top == one.top()
        assert update.bids or update.asks
    assert thinnest == 1


def test_ids_chain_and_cover_what_a_snapshot_between_them_saw():
    one = market()
    last = one.told_id
    for at in range(200):
        if at % 3 == 0:
            one.stir()
        seen = one.last_id
        update = one.tell(at)
        assert update.previous_id == last < update.first_id <= update.last_id
        if at % 3 == 0:
            assert update.first_id <= seen < update.last_id
        last = update.last_id


def test_a_level_that_a_snapshot_saw_and_that_went_is_told_as_gone():
    one = market()
    for at in range(500):
        one.stir()
        book = dict(one.bids)
        for change in one.tell(at).bids:
            book.pop(change.ticks, None)
            if change.lots:
                book[change.ticks] = change.lots
        assert book == one.bids


def test_numbers_have_the_places_of_the_tick_and_the_lot():
    one = market(lot="0.00000001")
    sizes = [f"{one.size(lots):f}" for lots in one.bids.values()]
    assert {len(each.partition(".")[2]) for each in sizes} == {8}
    assert any(each.endswith("00000") for each in sizes)
    assert any(not each.endswith("0") for each in sizes)
    assert f"{one.price(250000):f}" == "25000.00"


def test_krakens_checksum_is_that_of_its_documentation():
    one = market(tick="0.00005", lot="0.00000001", price="1")
    asks = dict.fromkeys(range(1001, 1011), 500)
    bids = dict.fromkeys((1000, 999, 998, 996, 995, 994, 993, 992, 991, 990), 500)
    assert checksum(one, bids, asks) == 974947235
    assert checksum(one, bids | {1: 7}, asks | {2000: 7}) == 974947235


def test_kraken_deletes_no_level_that_was_only_pushed_out_of_reach():
    one = market(lot="0.00000001")
    words, peer = Kraken({"X": one}), Peer(1, "/v2")
    words.hear(peer, '{"method":"subscribe","params":{"channel":"book","symbol":["X"],"depth":10}}')
    pushed_out = 0
    for at in range(300):
        shown = peer.shown["X"][0]
        update = one.tell(at)
        texts = words.update(peer, Message(update, one.told_bids, one.told_asks))
        deleted = {
            Decimal(level["price"])
            for text in texts
            for level in json.loads(text, parse_float=str)["data"][0]["bids"]
            if Decimal(level["qty"]) == 0
        }
        gone = {price for price in shown if price not in one.bids}
        assert deleted == {one.price(price) for price in gone}
        pushed_out += len(shown.keys() - gone - peer.shown["X"][0].keys())
    assert pushed_out > 10


def test_bitgets_checksum_takes_the_sides_in_turn_and_is_signed():
    one = market(tick="0.1", lot="1", price="1")
    words = Bitget({"X": one})
    bids, asks = {33661: 7}, {33668: 9, 33680: 8, 33720: 8}
    plain = crc32(b"3366.1:7:3366.8:9:3368.0:8:3372.0:8")
    assert words.checksum(one, bids, asks) % 2**32 == plain
    assert -(2**31) <= words.checksum(one, bids, asks) < 2**31


def test_a_meter_counts_the_fullest_span():
    meter = Meter(Limit(3, 1.0))
    assert [meter.count(at) for at in (0.0, 0.5, 0.9, 1.0, 1.4, 3.0)] == [True, True, True, True, False, True]
    assert meter.most() == 4
    weighed = Meter(Limit(40, 60.0))
    assert [weighed.count(at, 20) for at in (0.0, 1.0, 2.0, 61.5)] == [True, True, False, True]


def test_a_peer_knows_its_channels():
    peer = Peer(1, "/")
    peer.channels["books", "A"] = None
    assert peer.symbols("books") == ["A"]
    assert peer.symbols("trades") == []


def test_the_venues_know_nothing_of_what_is_tested_with_them():
    files = list(Path(exchange.__file__).parent.glob("*.py"))
    assert len(files) > 15
    assert [each.name for each in files if "dolphin_mp" in each.read_text()] == []
