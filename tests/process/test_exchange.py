"""The local venues keep their word: a plain client has the true books, and each fault is what it says."""

from decimal import Decimal

import pytest
from exchange import DIALECTS, Venue
from exchange.reader import Reader

SYMBOLS = {
    "binance-futures": ["BTCUSDT", "ETHUSDT"],
    "binance-delivery": ["BTCUSD_PERP", "ETHUSD_PERP"],
    "coinbase": ["BTC-USD", "ETH-USD"],
    "kraken": ["BTC/USD", "ETH/USD"],
    "bitget": ["USDT-FUTURES:BTCUSDT", "SPOT:BTCUSDT"],
    "okx": ["BTC-USDT", "BTC-USDT-SWAP"],
    "deribit": ["BTC-PERPETUAL", "ETH-PERPETUAL"],
}
BY_REST = {"binance-futures", "binance-delivery"}
CHAINED = {"binance-futures", "binance-delivery", "okx", "deribit"}
MOVES = 150


def open_venue(name, **settings):
    return Venue(DIALECTS[name], SYMBOLS[name], seed=11, **settings)


def begin(venue, reader):
    """Subscribe, and have the books."""
    reader.subscribe()
    if venue.words.NAME in BY_REST:
        for symbol in reader.symbols:
            reader.take_up(symbol)
    reader.read()


@pytest.fixture(params=sorted(DIALECTS))
def name(request):
    return request.param


def test_a_plain_client_has_the_true_books(name):
    with open_venue(name) as venue, Reader(venue, SYMBOLS[name]) as reader:
        begin(venue, reader)
        venue.move(MOVES)
        assert reader.read()
        for symbol in SYMBOLS[name]:
            book, market = reader.books[symbol], venue.words.markets[symbol]
            assert book.problems == []
            assert len(book.path) == MOVES + 1
            assert {price: Decimal(size) for price, (_, size) in book.bids.items()} == {
                market.price(price): market.size(lots) for price, lots in market.bids.items()
            }
            assert len(book.asks) == len(market.asks)
            assert venue.truth.strangers(symbol, [tuple(map(float, top)) for _, top in book.path]) == []
        assert reader.unreadable == []
        assert venue.excesses == []
