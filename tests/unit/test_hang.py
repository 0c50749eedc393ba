"""When a process is called hung, and when it is let be: times are data, no clock, no process."""

import pytest

from dolphin_mp.hang.arming import PULSE_NS, Arming, Clock, Member
from dolphin_mp.hang.verdict import Again, Grace, Hung, Sight, judge

S = 1_000_000_000
HANG = 5 * S
SUSPENDED = 3600 * S
NEVER = -1


def at(seconds, suspended_s=0.0):
    """Give an instant: the machine has been suspended for so long since it was booted."""
    return Clock(int(seconds * S), int((seconds + suspended_s) * S))


def member(begun=0.0, alive=0.0, due=NEVER, *, active=True, hang=HANG):
    due_ns = NEVER if due == NEVER else int(due * S)
    return Member("ob", active, int(begun * S), int(alive * S), due_ns, hang)


def sight(begun=0.0, alive=0.0, pulse=0.0, *, active=True, hang=HANG, name="ob"):
    return Sight(name, active, int(begun * S), int(alive * S), int(pulse * S), hang)


# ------------------------------------------------------------------ the child arms


def test_while_a_step_is_in_progress_the_timer_counts_from_its_begin():
    assert Arming().deadline(at(100), [member(begun=98.5)]) == at(103.5).monotonic_ns


def test_a_beat_in_the_midst_of_a_step_is_as_good_as_its_begin():
    assert Arming().deadline(at(100), [member(begun=90, alive=99)]) == at(104).monotonic_ns


def test_between_steps_it_counts_from_the_next_pulse_for_a_step_can_begin_at_any_moment():
    for due in (NEVER, 100.01):
        assert Arming().deadline(at(100), [member(due=due)]) == 100 * S + PULSE_NS + HANG


def test_a_step_that_is_due_in_an_hour_is_waited_for():
    assert Arming().deadline(at(100), [member(due=3700)]) == at(3705).monotonic_ns


def test_nobody_is_watched_before_it_is_ready_nor_once_it_is_to_stop():
    assert Arming().deadline(at(100), [member(begun=1, active=False)]) is None
    assert Arming().deadline(at(100), []) is None


def test_of_several_members_the_first_to_hang_counts():
    members = [member(), member(begun=99), member(begun=1, active=False)]
    assert Arming().deadline(at(100), members) == at(104).monotonic_ns


def test_a_suspend_does_not_age_a_step_that_was_seen_before_it():
    arming = Arming()
    first = arming.deadline(at(100), [member(begun=99)])
    assert arming.deadline(at(101, suspended_s=3600), [member(begun=99)]) == first == at(104).monotonic_ns


def test_a_suspend_does_not_age_a_step_that_began_between_the_pulse_before_it_and_the_one_after():
    arming = Arming()
    arming.deadline(at(100), [member()])
    due_ns = arming.deadline(at(101, suspended_s=3600), [member(begun=100.5)])
    assert due_ns == at(105).monotonic_ns  # from the pulse before: half a second early, not an hour


def test_each_step_is_placed_anew():
    arming = Arming()
    arming.deadline(at(100), [member(begun=99)])
    arming.deadline(at(101), [member()])
    assert arming.deadline(at(102), [member(begun=101.5)]) == at(106.5).monotonic_ns


# ------------------------------------------------------------------ the parent judges


def verdict(now, *sights, fired=1, grace=None):
    return judge(now, fired, sights, grace or Grace(0, now.boottime_ns - now.monotonic_ns))[0]


def test_a_step_begun_longer_ago_is_hung_and_the_reason_says_since_when():
    assert verdict(at(107.2), sight(begun=100, pulse=107)) == Hung("hung: step begun 7.2 s ago")


def test_a_long_step_that_beat_once_and_no_more_is_hung_since_its_beat():
    found = verdict(at(107.2), sight(begun=90, alive=101))
    assert found == Hung("hung: step begun and last beat 6.2 s ago")


def test_a_process_that_can_not_even_pulse_is_hung():
    assert verdict(at(107), sight(alive=90, pulse=100.5)) == Hung("hung: last sign of life 6.5 s ago")


def test_a_timer_left_over_from_a_step_that_has_ended_is_a_false_alarm():
    assert verdict(at(105), sight(begun=104.5, alive=104.4, pulse=104)) == Again(at(109.5).monotonic_ns)
    assert verdict(at(105), sight(alive=104.4, pulse=104)) == Again(at(110.4).monotonic_ns)


def test_a_pulse_of_a_second_ago_is_none_too_old_for_a_short_hang_after():
    assert verdict(at(105), sight(pulse=104.1, hang=S // 10)) == Again(at(105.2).monotonic_ns)


def test_there_is_nothing_to_say_of_components_that_are_not_ready():
    assert verdict(at(200), sight(begun=100, active=False)) is None


def test_one_hung_member_is_enough():
    assert isinstance(verdict(at(107), sight(pulse=106.9), sight(begun=100, name="mc")), Hung)


def test_each_member_has_its_own_patience():
    slow = sight(begun=100, hang=60 * S)
    assert verdict(at(107), slow, sight(pulse=107)) == Again(at(113).monotonic_ns)


@pytest.mark.parametrize("fired", [2, 40])
def test_a_parent_that_comes_late_grants_grace_first(fired):
    stuck = sight(begun=100)
    found, grace = judge(at(140), fired, [stuck], Grace(0, 0))
    assert found == Again(140 * S + PULSE_NS + HANG)
    assert judge(at(141), 1, [stuck], grace)[0] == Again(146 * S)
    assert isinstance(judge(at(146), 1, [stuck], grace)[0], Hung)


def test_grace_is_granted_to_all_for_the_parent_was_held_up_for_all():
    _, grace = judge(at(140), 5, [sight(begun=100)], Grace(0, 0))
    assert judge(at(140), 1, [sight(begun=120, name="mc")], grace)[0] == Again(146 * S)


def test_after_a_suspend_grace_is_granted_once():
    stuck = sight(begun=100)
    found, grace = judge(at(103, suspended_s=3600), 1, [stuck], Grace(0, 0))
    assert found == Again(109 * S)
    assert isinstance(judge(at(109, suspended_s=3600), 1, [stuck], grace)[0], Hung)


def test_one_that_goes_on_meanwhile_is_let_be_in_grace_too():
    _, grace = judge(at(140), 5, [sight(begun=100)], Grace(0, 0))
    assert judge(at(141), 1, [sight(begun=140.9)], grace)[0] == Again(at(145.9).monotonic_ns)
