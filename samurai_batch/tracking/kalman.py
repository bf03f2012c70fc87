"""The motion model: a constant-velocity Kalman filter over an object's box.

Source: SAMURAI, https://arxiv.org/abs/2411.11922, section 4.1; noise as in its public code (DeepSORT's), and for
the (x, y, w, h) form as in BoT-SORT, https://arxiv.org/abs/2206.14651. Boxes are in pixels of the model's image.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samurai_batch.prompts import Box

Form = Literal["xyah", "xywh"]
Vector = NDArray[np.float64]

POSITION_WEIGHT, VELOCITY_WEIGHT = 1 / 20, 1 / 160
_MOTION = np.eye(8) + np.eye(8, k=4)  # one frame: position += velocity


@dataclass(frozen=True)
class KalmanState:
    """Mean (8,): centre x, centre y, aspect w/h or width, height, and their velocities; covariance (8, 8)."""

    mean: Vector
    covariance: Vector


def measure(box_xyxy: Box, form: Form) -> Vector:
    """A box as a measurement (4,) float64.

    A height of 0 is replaced by 1 in the "xyah" form, as in the public code; so is either side in the "xywh" form,
    whose noise is proportional to both: the covariance of an empty box would be 0, and the next update would fail.
    """
    x1, y1, x2, y2 = box_xyxy
    width, height = x2 - x1, (y2 - y1) or 1.0
    third = width / height if form == "xyah" else width or 1.0
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, third, height])


def box_of(state: KalmanState, form: Form) -> Box:
    """The box xyxy of a state's mean, in pixels of the model's image."""
    x, y, width, height = (float(value) for value in state.mean[:4])
    if form == "xyah":
        width = width * height
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def initiate(box_xyxy: Box, form: Form) -> KalmanState:
    """The initial state from a first box, with zero velocity."""
    measurement = measure(box_xyxy, form)
    position, velocity = _deviations(measurement, form)
    if form == "xyah":  # the deviations of the aspect ratio are absolute, and are not scaled
        scale = np.array([2.0, 2.0, 1.0, 2.0]), np.array([10.0, 10.0, 1.0, 10.0])
    else:
        scale = np.full(4, 2.0), np.full(4, 10.0)
    deviation = np.concatenate((scale[0] * position, scale[1] * velocity))
    return KalmanState(np.concatenate((measurement, np.zeros(4))), np.diag(deviation**2))


def predict(state: KalmanState, form: Form) -> KalmanState:
    """The state one frame later."""
    noise = np.diag(np.concatenate(_deviations(state.mean, form)) ** 2)
    return KalmanState(_MOTION @ state.mean, _MOTION @ state.covariance @ _MOTION.T + noise)


def update(state: KalmanState, box_xyxy: Box, form: Form) -> KalmanState:
    """The state after the update with a measured box."""
    position, _ = _deviations(state.mean, form)
    if form == "xyah":
        position = np.where(np.arange(4) == 2, 1e-1, position)
    innovation_covariance = state.covariance[:4, :4] + np.diag(position**2)
    gain = np.linalg.solve(innovation_covariance, state.covariance[:4]).T
    mean = state.mean + gain @ (measure(box_xyxy, form) - state.mean[:4])
    return KalmanState(mean, state.covariance - gain @ innovation_covariance @ gain.T)


def _deviations(mean: Vector, form: Form) -> tuple[Vector, Vector]:
    """Standard deviations (4,) of position and velocity, proportional to the mean's size."""
    width, height = mean[2], mean[3]
    if form == "xyah":
        size = np.array([height, height, 0.0, height])
        aspect = np.array([0.0, 0.0, 1.0, 0.0])
        return POSITION_WEIGHT * size + 1e-2 * aspect, VELOCITY_WEIGHT * size + 1e-5 * aspect
    size = np.array([width, height, width, height])
    return POSITION_WEIGHT * size, VELOCITY_WEIGHT * size
