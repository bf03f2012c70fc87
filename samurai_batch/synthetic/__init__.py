"""Procedural video with exact masks: for training, demonstrations, tests and measuring."""

from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.demo import demo_clip
from samurai_batch.synthetic.settings import SceneSettings
from samurai_batch.synthetic.suites import SUITES, Suite

__all__ = ["SUITES", "Clip", "SceneSettings", "Suite", "demo_clip", "generate_clip"]
