"""A rescue in settings, jobs and fingerprints."""

from typing import get_args

import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.job import make_job
from samurai_batch.modeling.configs import MODELS
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.trackers import Mode

JOB = {"prompts": "p.csv", "output": "out"}


def test_a_tracker_of_several_paths_cannot_have_a_rescue_and_says_so() -> None:
    with pytest.raises(
        ConfigError, match="rescue is given, but mode sam2long decides a mask frames later, when no resc"
    ):
        TrackerSettings(mode="sam2long", rescue="sentry").resolve(MODELS["nano"])


def test_settings_of_a_rescue_need_the_rescue() -> None:
    given_alone = TrackerSettings(mode="sam2", sentry_reverse_frames=5)
    with pytest.raises(
        ConfigError, match="sentry_reverse_frames is given, but it belongs to rescue sentry, and rescue"
    ):
        given_alone.resolve(MODELS["nano"])
    with pytest.raises(
        ConfigError, match=r"tracker.sentry_revrse_frames is not a setting; did you mean sentry_reverse_"
    ):
        TrackerSettings(sentry_revrse_frames=5)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"tracker.sentry_soft_nms_sigma is 0: it should be greater than 0"):
        TrackerSettings(sentry_soft_nms_sigma=0)


@pytest.mark.parametrize("mode", get_args(Mode))
def test_fingerprints_contain_a_rescue_and_its_settings_only_where_there_is_one(mode: Mode) -> None:
    plain = TrackerSettings(mode=mode).decisive()
    assert not any(name.startswith(("sentry_", "rescue")) for name in plain)
    rescued = TrackerSettings(mode=mode, rescue="sentry").decisive()
    assert rescued["rescue"] == "sentry"
    assert {name for name in rescued if name.startswith("sentry_")} == {
        name for name in vars(TrackerSettings()) if name.startswith("sentry_")
    }
    assert {name: rescued[name] for name in plain} == plain


def test_a_job_passes_its_rescue_and_settings_on_and_refuses_what_does_not_fit() -> None:
    job = make_job({**JOB, "mode": "dam4sam", "rescue": "sentry", "tracker": {"sentry_everything": False}})
    assert job.tracker_settings == TrackerSettings(mode="dam4sam", rescue="sentry", sentry_everything=False)
    for fields, reason in (
        (
            {"tracker": {"sentry_everything": False}},
            "tracker.sentry_everything is given, but it belongs to rescue sentry",
        ),
        ({"mode": "sam2long", "rescue": "sentry"}, "rescue is given, but mode sam2long decides a mask frames later"),
        ({"task": "segment", "rescue": "sentry"}, "rescue is given, but task is segment, which tracks nothing"),
        ({"rescue": "sentri"}, "rescue is 'sentri': it should be 'none' or 'sentry'"),
    ):
        with pytest.raises(ConfigError, match=reason):
            make_job({**JOB, **fields})
