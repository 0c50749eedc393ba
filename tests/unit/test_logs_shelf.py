"""Which file takes what, and which one goes."""

from dolphin_mp.logs.shelf import Bounds, Shelf, file_name, parse_name

SMALL = Bounds(total=1000, largest=200, smallest=10, share=2)


def write(shelf, component, nbytes):
    gone = shelf.victims(nbytes)
    number = shelf.place(component, nbytes)
    shelf.grew(component, number, nbytes)
    return number, gone


def test_names_are_read_back():
    assert file_name("mc@0", 7) == "mc@0.000007.jsonl"
    assert parse_name("mc@0.000007.jsonl") == ("mc@0", 7)
    assert parse_name("a.b.1234567.jsonl") == ("a.b", 1234567)
    assert [parse_name(name) for name in ("x.jsonl", ".1.jsonl", "x.one.jsonl", "x.1.json")] == [None] * 4


def test_a_file_that_is_large_enough_is_followed_by_the_next():
    shelf = Shelf(SMALL)
    assert [write(shelf, "a", 80)[0] for _ in range(5)] == [1, 1, 2, 2, 3]


def test_files_get_smaller_the_more_components_share_the_disk():
    shelf = Shelf(SMALL)
    assert shelf.limit == 200
    for name in "abcdefgh":
        write(shelf, name, 1)
    assert shelf.limit == 62


def test_who_has_most_loses_its_oldest_file():
    shelf = Shelf(SMALL)
    write(shelf, "quiet", 50)
    gone = [gone for _ in range(50) for gone in write(shelf, "loud", 90)[1]]
    assert {name for name, _ in gone} == {"loud"}
    assert [number for _, number in gone] == sorted(number for _, number in gone)
    assert shelf.sizes["quiet"] == {1: 50}
    assert shelf.total <= SMALL.total


def test_numbers_go_on_after_the_last_file_went():
    shelf = Shelf(SMALL)
    shelf.found({"a.000005.jsonl": 990})
    assert write(shelf, "a", 100) == (6, [("a", 5)])


def test_what_is_found_is_counted():
    shelf = Shelf(SMALL)
    shelf.found({"a.000002.jsonl": 10, "a.000001.jsonl": 150, "b.000009.jsonl": 5, "notes.txt": 10**9})
    assert shelf.total == 165
    assert shelf.place("a", 10) == 2
    assert shelf.place("b", 10**6) == 10
