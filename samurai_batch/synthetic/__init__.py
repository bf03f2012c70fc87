"""Generated video with exact masks, for training, the demo, tests and measurements."""

from samurai_batch.synthetic.clip import Clip, generate_clip
from samurai_batch.synthetic.scene import SceneSettings
from samurai_batch.synthetic.suites import SUITES, Suite, demo_clip

__all__ = ["SUITES", "Clip", "SceneSettings", "Suite", "demo_clip", "generate_clip"]
