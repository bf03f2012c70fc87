"""Pictures as a job: on replicas, by looks, with every mask at the picture's own pixels."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.images import pictures
from samurai_batch.images.everything import segment_everything
from samurai_batch.images.networks import load_network
from samurai_batch.images.predictor import EncodedImage, ImagePredictor
from samurai_batch.images.settings import EverythingSettings
from samurai_batch.images.text import Detection
from samurai_batch.job import JobConfig, make_job
from samurai_batch.ledger.schema import TrackEntry
from samurai_batch.ledger.status import RunSummary, exit_code, read_status
from samurai_batch.ledger.store import read_video_ledger
from samurai_batch.manifest import read_pictures, write_prompts
from samurai_batch.masks import read_masks
from samurai_batch.modeling.configs import SAM_MODELS
from samurai_batch.operations.diff import diff_results
from samurai_batch.operations.reprocess import reprocess
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt, TextPrompt
from samurai_batch.report.gather import gather
from samurai_batch.rle import decode_mask, encode_mask, rle_from_coco
from samurai_batch.runtime import detection
from samurai_batch.runtime.assembly import ReplicaPlan
from samurai_batch.runtime.dry_run import plan_job
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Track, Video
from tests.images.small import SMALL_SAM
from tests.images.small import picture as drawn
from tests.images.tiny_models import save_clip

LOOSE = {"points_per_side": 2, "pred_iou_thresh": -10.0, "stability_score_thresh": 0.0}
pytestmark = pytest.mark.usefixtures("one_thread")

BAD = {
    "cut.jpg": "cannot be read as a picture",
    "empty.jpg": "is empty",
    "one.png": "1x1 pixels",
    "text.png": "cannot be read as a picture",
    "wide.png": "20000x4 pixels",
}


def fill(folder: str, num_good: int) -> str:
    """So many good pictures of several sizes, and the five bad ones."""
    for index in range(num_good):
        put(f"{folder}/good {index:03}.png", drawn(24 + index % 5 * 4, 40, seed=index))
    whole = io.BytesIO()
    Image.fromarray(drawn(40, 64)).save(whole, "jpeg")
    storage.write_bytes(f"{folder}/cut.jpg", whole.getvalue()[: len(whole.getvalue()) // 2])
    storage.write_bytes(f"{folder}/empty.jpg", b"")
    storage.write_bytes(f"{folder}/text.png", b"no picture")
    storage.write_bytes(f"{folder}/notes.txt", b"no picture either, and not named like one")
    put(f"{folder}/one.png", np.zeros((1, 1, 3), np.uint8))
    put(f"{folder}/wide.png", np.zeros((4, 20_000, 3), np.uint8))
    return folder


def put(uri: str, pixels: NDArray[np.uint8]) -> None:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    storage.write_bytes(uri, data.getvalue())


def job(pictures: str, output: str, **more: object) -> JobConfig:
    fields = {"model": "nano", "weights": "untrained:0", "image_size": 64, "pool": "local", "everything": LOOSE}
    return make_job({"task": "segment", "prompts": pictures, "output": output, **fields, **more})


def nobody(plan: ReplicaPlan) -> Pool:
    raise AssertionError("replicas are started, and nothing is to do")


def entry_of(config: JobConfig, name: str) -> TrackEntry:
    ledger = read_video_ledger(storage, config.output, name)
    assert ledger is not None
    return ledger.tracks["mask"]


def assert_the_five_bad_ones_failed(summary: RunSummary, num_good: int) -> None:
    assert {problem.video_id: problem.status for problem in summary.problems} == dict.fromkeys(BAD, "failed")
    assert all(BAD[problem.video_id] in problem.error for problem in summary.problems)
    assert (summary.totals.tracks_done, summary.totals.tracks_failed) == (num_good, len(BAD))
    assert exit_code(summary) == 3


def assert_nothing_is_done_again(config: JobConfig, first: RunSummary) -> None:
    again = run_job(config, make_pool=nobody)
    assert exit_code(again) == 3
    assert again.problems == first.problems
    assert again.totals.tracks_skipped == again.totals.tracks == first.totals.tracks
    assert again.totals.rows == 0
    status = read_status(storage, config.output)
    assert (status.num_tracks["done"], status.num_tracks["failed"]) == (first.totals.tracks_done, len(BAD))


@pytest.mark.slow
@pytest.mark.server
def test_pictures_and_tables_may_lie_on_s3(tmp_path: Path, s3_uri: str) -> None:
    config = job(fill(f"{s3_uri}/in", 6), f"{s3_uri}/out", cache_dir=str(tmp_path / "cache"))
    summary = run_job(config)
    assert_the_five_bad_ones_failed(summary, 6)
    assert_nothing_is_done_again(config, summary)
    here = job(fill(str(tmp_path / "in"), 6), str(tmp_path / "out"))
    run_job(here)
    pd.testing.assert_frame_equal(read_masks(config.output).astype(str), read_masks(here.output).astype(str))


def test_failed_pictures_are_retried_only_on_request_or_after_a_change(tmp_path: Path) -> None:
    config = job(fill(str(tmp_path / "in"), 2), str(tmp_path / "out"))
    first = run_job(config)
    assert_the_five_bad_ones_failed(first, 2)
    assert_nothing_is_done_again(config, first)
    assert "2 done already, 5 failed because of their input, 0 new" in plan_job(config).describe()

    put(f"{tmp_path}/in/one.png", drawn(24, 40))  # mended
    mended = run_job(config)
    assert (mended.totals.tracks_done, mended.totals.tracks_failed, mended.totals.tracks_skipped) == (3, 4, 6)

    reprocessed = reprocess(config)
    assert {decision.track.video.video_id for decision in reprocessed.plan.decisions} == BAD.keys() - {"one.png"}
    assert (reprocessed.summary.totals.tracks_done, reprocessed.summary.totals.tracks_failed) == (3, 4)
    assert reprocessed.summary.totals.tracks_skipped == 3


def test_a_picture_on_which_nothing_is_found_is_done(tmp_path: Path) -> None:
    put(f"{tmp_path}/in/a.png", drawn(24, 40))
    config = job(f"{tmp_path}/in", str(tmp_path / "out"), everything={**LOOSE, "pred_iou_thresh": 10.0})
    assert exit_code(run_job(config)) == 0
    assert (entry_of(config, "a.png").status, entry_of(config, "a.png").rows) == ("done", 0)
    assert read_masks(config.output).empty
    assert exit_code(run_job(config, make_pool=nobody)) == 0


def test_another_setting_of_everything_mode_segments_anew(tmp_path: Path) -> None:
    put(f"{tmp_path}/in/a.png", drawn(24, 40))
    run_job(job(f"{tmp_path}/in", str(tmp_path / "out")))
    again = run_job(job(f"{tmp_path}/in", str(tmp_path / "out"), everything={**LOOSE, "points_per_side": 3}))
    assert again.totals.tracks_skipped == 0


@pytest.mark.parametrize("model", ["nano", SMALL_SAM.name])
def test_masks_are_those_of_the_predictor_at_the_pictures_own_pixels(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SAM_MODELS, SMALL_SAM.name, SMALL_SAM)
    sizes = [(30, 40), (61, 83), (40, 20)]
    for number, (height, width) in enumerate(sizes):
        put(f"{tmp_path}/in/{number}.png", drawn(height, width, seed=number))
    config = job(f"{tmp_path}/in", str(tmp_path / "out"), model=model, dtype="float64", pictures_per_batch=2)
    encode, batches = ImagePredictor.encode, []

    def counted(self: ImagePredictor, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        batches.append(len(images))
        return encode(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(ImagePredictor, "encode", counted)
        assert exit_code(run_job(config)) == 0
    assert sorted(batches) == [1, 2]
    predictor = ImagePredictor(load_network(model, "untrained:0", 64, torch.float64))
    for number, (height, width) in enumerate(sizes):
        found = segment_everything(predictor, drawn(height, width, seed=number), EverythingSettings(**LOOSE))  # type: ignore[arg-type]
        assert found
        rows = read_masks(config.output, videos=[f"{number}.png"])
        assert rows["object_id"].tolist() == [f"mask#{place}" for place in range(len(found))]
        assert [rle_from_coco(value) for value in rows["segmentation"]] == [one.mask for one in found]
        np.testing.assert_allclose(rows["mask_score"], [one.predicted_iou for one in found], rtol=1e-6)
        assert rows["mask_index"].tolist() == [one.mask_index for one in found]
        assert (
            rows["object_id"].tolist()[:1]
            == read_masks(config.output, objects=["mask#0"])["object_id"].unique().tolist()
        )


def test_results_on_pictures_are_compared_and_reported_object_by_object(tmp_path: Path) -> None:
    put(f"{tmp_path}/in/a.png", drawn(24, 40))
    one, other = (job(f"{tmp_path}/in", str(tmp_path / name), image_size=size) for name, size in (("a", 64), ("b", 96)))
    run_id = run_job(one).run_id
    run_job(other)
    found = read_masks(one.output)["object_id"].tolist()
    same = diff_results(f"{one.output}@{run_id}", one.output)
    assert sorted(track.object_id for track in same.tracks) == sorted(found)
    assert all(track.mean_iou == 1 for track in same.tracks)
    assert any(track.mean_iou < 1 for track in diff_results(one.output, other.output).tracks)
    (video,) = gather(one.output, with_pictures=False).videos
    assert {track.object_id: len(track.rows) for track in video.tracks} == {"mask": 0} | dict.fromkeys(found, 1)


class OneBox:
    def detect(self, image: NDArray[np.uint8], phrase: str) -> list[Detection]:
        return [Detection((4.0, 5.0, 30.0, 28.0), 0.9)]


@pytest.fixture
def words_find_one_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "make_detector", lambda *_: OneBox())
    monkeypatch.setattr(detection, "check_detector", lambda name: None)


@pytest.mark.usefixtures("words_find_one_box")
@pytest.mark.parametrize("model", ["nano", SMALL_SAM.name])
def test_a_table_of_prompts_is_answered_as_the_predictor_answers(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SAM_MODELS, SMALL_SAM.name, SMALL_SAM)
    pixels = drawn(36, 48)
    put(f"{tmp_path}/a.png", pixels)
    square = np.zeros((36, 48), bool)
    square[8:24, 10:30] = True
    rle = encode_mask(square)
    assert rle is not None
    prompts: dict[str, tuple[Prompt, ...]] = {
        "box": (BoxPrompt(0, (4.0, 5.0, 30.0, 28.0)),),
        "click": (PointsPrompt(0, ((20.0, 15.0),), (1,)),),
        "box and click": (BoxPrompt(0, (4.0, 5.0, 30.0, 28.0)), PointsPrompt(0, ((20.0, 15.0),), (0,))),
        "given": (MaskPrompt(0, rle),),
        "words": (TextPrompt(0, "a disc"),),
        "outside": (PointsPrompt(0, ((90.0, 15.0),), (1,)),),
        "late": (BoxPrompt(2, (4.0, 5.0, 30.0, 28.0)),),
    }
    video = Video("a", f"{tmp_path}/a.png")
    write_prompts(
        f"{tmp_path}/p.jsonl", [Track(video=video, object_id=name, prompts=found) for name, found in prompts.items()]
    )
    config = job(
        f"{tmp_path}/p.jsonl", str(tmp_path / "out"), model=model, dtype="float64", detector="tiny", everything={}
    )
    summary = run_job(config)
    assert {problem.object_id: problem.error for problem in summary.problems} == {
        "late": "the prompt on frame 2 lies after the video's last frame, 0",
        "outside": "the prompt on frame 0 has the point (90, 15), outside a picture of 48x36 pixels",
    }
    predictor = ImagePredictor(load_network(model, "untrained:0", 64, torch.float64))
    predictor.set_image(pixels)
    click = predictor.predict(points_xy=[(20.0, 15.0)], labels=[1])
    box = predictor.predict(box_xyxy=(4.0, 5.0, 30.0, 28.0), multimask=False).masks[0]
    both = predictor.predict(box_xyxy=(4.0, 5.0, 30.0, 28.0), points_xy=[(20.0, 15.0)], labels=[0], multimask=False)
    given = predictor.predict(mask_logits=predictor.network.mask_input(square), multimask=False)
    expected = {
        "box": box,
        "click": click.masks[click.best],
        "box and click": both.masks[0],
        "given": given.masks[0],
        "words#0": box,
    }
    rows = read_masks(config.output)
    assert set(rows["object_id"]) == expected.keys()
    for object_id, segmentation in zip(rows["object_id"], rows["segmentation"], strict=True):
        mask = np.zeros((36, 48), bool) if segmentation is None else decode_mask(rle_from_coco(segmentation))
        np.testing.assert_array_equal(mask, expected[object_id], err_msg=object_id)
    assert set(rows["frame_index"]) == {0}
    assert rows["motion_score"].isna().all()
    assert rows["prompted"].all()
    assert np.isinf(rows["object_score"]).all() == (model == SMALL_SAM.name)


def test_a_sam_is_refused_for_tracking_in_one_clear_sentence(tmp_path: Path) -> None:
    put(f"{tmp_path}/in/a.png", drawn(24, 40))
    config = job(f"{tmp_path}/in", str(tmp_path / "out"), model="sam_vit_b", image_size=None)
    with pytest.raises(ConfigError, match=r"'sam_vit_b' segments single images and cannot track; .*`samurai-batch s"):
        run_job(config.model_copy(update={"task": "track"}))
    assert plan_job(config).num_to_detect == 1
    with pytest.raises(ConfigError, match="image_size 64: sam_vit_b supports only 1024"):
        plan_job(config.model_copy(update={"image_size": 64}))


def test_a_video_is_no_picture(tmp_path: Path) -> None:
    for index in range(2):
        put(f"{tmp_path}/frames/{index}.png", drawn(24, 40))
    track = read_pictures(f"{tmp_path}/frames")[0]
    moved = Track(video=Video("v", f"{tmp_path}/frames"), object_id="mask", prompts=track.prompts)
    (problem,) = run_job(job("unused.csv", str(tmp_path / "out")), tracks=[moved]).problems
    assert "frames holds 2 pictures or frames, and task segment takes one a file; save each" in problem.error


def test_words_are_ranked_by_clip_where_the_detector_is_one(tmp_path: Path) -> None:
    put(f"{tmp_path}/a.png", drawn(36, 48))
    words = Track(video=Video("a", f"{tmp_path}/a.png"), object_id="disc", prompts=(TextPrompt(0, "a disc"),))
    clip = f"clip:{save_clip(tmp_path / 'clip')}"
    config = job("unused.csv", str(tmp_path / "out"), detector=clip, detector_threshold=0.0)
    assert exit_code(run_job(config, tracks=[words])) == 0
    found = read_masks(config.output)["object_id"].tolist()
    assert found == [f"disc#{number}" for number in range(len(found))]
    assert found
