"""Beats stay on their grid."""

from dolphin_mp.process.beat import Beat


def taken(beat, times):
    return [now for now in times if beat.take(now)]


def test_one_beat_a_period_however_often_it_is_asked():
    assert taken(Beat(10, 0), range(35)) == [0, 10, 20, 30]


def test_a_late_beat_does_not_move_the_next():
    beat = Beat(10, 0)
    assert taken(beat, [0, 17, 19, 20, 29]) == [0, 17, 20]
    assert beat.missed == 0
    assert beat.due_ns == 30


def test_beats_that_passed_meanwhile_are_counted_and_done_once():
    beat = Beat(10, 0)
    assert taken(beat, [0, 45]) == [0, 45]
    assert beat.missed == 3  # those of 10, 20 and 30: that of 40 is the one done at 45
    assert beat.due_ns == 50


def test_one_exactly_a_period_late_makes_place_for_the_next():
    beat = Beat(10, 0)
    beat.take(0)
    assert beat.take(20)
    assert beat.missed == 1
    assert not beat.take(20)
    assert beat.due_ns == 30


def test_none_before_the_first_is_due():
    beat = Beat(10, 100)
    assert not beat.take(99)
    assert beat.take(100)


def test_done_and_missed_add_up_to_the_time_that_passed():
    beat = Beat(7, 0)
    times = [0, 3, 8, 30, 31, 90, 91, 700]
    done = len(taken(beat, times))
    assert done + beat.missed == times[-1] // 7 + 1
