import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.planning.rates import Rates
from samurai_batch.planning.shards import cost_s, legs_with_rows, make_shards
from samurai_batch.tasks import Track
from tests.planning.builders import track, video

RATES = Rates(encode_s=1.0, propagate_s=0.1, open_s=0.0)


def test_tracks_of_one_video_and_direction_go_together_as_far_as_the_limit_allows() -> None:
    tracks = [track(f"f{number}") for number in range(9)] + [track("b", 5, direction="both")]
    shards = make_shards(tracks, max_tracks_per_shard=8)
    assert [(shard.reverse, len(shard.legs)) for shard in shards] == [(False, 5), (False, 5), (True, 1)]


def test_videos_are_not_mixed() -> None:
    shards = make_shards([track(of=video("a")), track(of=video("b"))], 8)
    assert [shard.video.video_id for shard in shards] == ["a", "b"]


def test_legs_that_start_near_each_other_share_a_shard() -> None:
    shards = make_shards([track("a", 0), track("b", 900), track("c", 3), track("d", 901)], 2)
    assert [[leg.track.object_id for leg in shard.legs] for shard in shards] == [["a", "c"], ["b", "d"]]


def test_a_backward_leg_without_rows_is_not_propagated() -> None:
    assert len(legs_with_rows(track(frame=0, direction="both"))) == 1
    assert len(legs_with_rows(track(frame=7, start_frame=7, direction="both"))) == 1
    assert len(legs_with_rows(track(frame=8, start_frame=7, direction="both"))) == 2
    assert len(legs_with_rows(track(frame=0, direction="backward"))) == 1


@given(st.permutations([track(str(number), number % 3, direction="both") for number in range(11)]), st.integers(1, 12))
def test_shards_do_not_depend_on_the_order_of_the_table(tracks: list[Track], limit: int) -> None:
    shards = make_shards(tracks, limit)
    assert shards == make_shards(sorted(tracks, key=lambda one: one.object_id), limit)
    members = [(leg.track.object_id, leg.reverse) for shard in shards for leg in shard.legs]
    assert len(members) == len(set(members)) == sum(len(legs_with_rows(one)) for one in tracks)
    assert all(len(shard.legs) <= limit for shard in shards)


def test_a_frame_is_encoded_once_for_all_tracks_on_it() -> None:
    assert cost_s([range(0, 10)], RATES) == pytest.approx(11)
    assert cost_s([range(0, 10), range(0, 10)], RATES) == pytest.approx(12)
    assert cost_s([range(5, 20), range(0, 10)], RATES) == pytest.approx(20 + 2.5)
    assert cost_s([range(15, 20), range(0, 10), range(3, 3)], RATES) == pytest.approx(15 + 1.5)


spans = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ends: range(min(ends), max(ends)))


@given(st.lists(spans, max_size=5))
def test_cost_counts_the_union_of_frames_and_every_track_on_them(ranges: list[range]) -> None:
    frames = [index for span in ranges for index in span]
    assert cost_s(ranges, RATES) == pytest.approx(len(set(frames)) + 0.1 * len(frames))
