"""A GPU that is not there: tensors that say they are on "cuda:0", and a record of what a program asks of the device.

    with FakeGpu() as gpu:
        model.to("cuda")
        ...
    gpu.mixed, gpu.waits, gpu.uploads, gpu.launches

The numbers of such a tensor are in an ordinary tensor of the CPU, so results can be compared with the CPU's. With
``values=False`` there are shapes only (PyTorch's device "meta"): a network of any size passes within a second, and
what the host waits for is made up.

Recorded, each with the line of the package where it happens:

    launches   every ATen operation that is more than a view, about the kernels that eager mode starts
    waits      the host waits for the device: tolist, item, a copy to the host, boolean indexing, synchronize
    uploads    copies to the device, and whether the host waits for them (pageable memory, or not non_blocking)
    mixed      operations on tensors of both devices, which CUDA refuses
    attention  calls of PyTorch's attention, by shape and dtype

What is copied to the host without waiting arrives when the host waits for an event that was recorded after the copy,
or for the whole device. Before that, the host's tensor holds nothing of use, as on a GPU.

What this does not show: speed, memory, numerical differences of CUDA's kernels, several streams at once, gradients.
"""

import functools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda", 0)
MADE_UP = 0.75  # what the host reads where there are shapes only
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
GARBAGE_BYTE = 0xA5  # what is in the host's memory before a copy has arrived

NO_LAUNCH = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach", "lift_fresh"}
VIEWS = {"_unsafe_view", "_reshape_alias", "alias"}
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal"}


@dataclass(frozen=True)
class Wait:
    """The host waited for launch number ``until`` of the device when ``enqueued`` had been enqueued.

    ``kind`` is the operation; ``made_at`` the number of the launch that made what was waited for, where that is known.
    """

    kind: str
    place: str
    thread: str
    until: int
    enqueued: int
    made_at: int | None = None

    @property
    def num_later(self) -> int:
        """Launches that were waited for though what was wanted was made before them."""
        return 0 if self.made_at is None else max(0, self.until - self.made_at)


@dataclass(frozen=True)
class Upload:
    """A copy to the device; the host waits for it unless the memory is pinned and the copy is non_blocking."""

    place: str
    thread: str
    num_bytes: int
    host_waits: bool


@dataclass(frozen=True)
class AttentionCall:
    """Shapes (B, heads, L, channels) and dtype of one call of PyTorch's attention."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    values: tuple[int, ...]
    dtype: torch.dtype


class GpuTensor(Tensor):
    """A tensor on the device "cuda:0", whose numbers are in ``inner``."""

    inner: Tensor  # type: ignore[assignment]  # in place of a method of Tensor, which the package does not use
    gpu: "FakeGpu"
    made_at: int
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # the mode sees all calls

    @staticmethod
    def __new__(cls, inner: Tensor, gpu: "FakeGpu") -> "GpuTensor":
        with torch.inference_mode(False):  # an inference tensor cannot be the view of a parameter made outside
            made: GpuTensor = Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=CUDA,
            )
        return made

    def __init__(self, inner: Tensor, gpu: "FakeGpu") -> None:
        assert not isinstance(inner, GpuTensor)
        self.inner, self.gpu, self.made_at = inner, gpu, gpu.enqueued

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"GpuTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        gpu = next(x.gpu for x in _tensors(args, kwargs) if isinstance(x, GpuTensor))
        return gpu.dispatch(func, args, kwargs)


class FakeGpu(AbstractContextManager["FakeGpu"]):
    """Within this context there is a GPU, for this thread and those that are started in it."""

    def __init__(self, *, values: bool = True, capability: tuple[int, int] = (9, 0)) -> None:
        self.device = torch.device("cpu" if values else "meta")
        self.has_values = values
        self.capability = capability
        self.enqueued = 0
        self._lock = threading.RLock()
        self._pinned: dict[int, StorageWeakRef] = {}
        self._downloads: list[tuple[int, Tensor, Tensor]] = []
        self._patches: list[Any] = []
        self._local = threading.local()
        self._mode: TorchFunctionMode = _Calls(self)
        self.reset()

    def reset(self) -> None:
        """Forget what has been recorded."""
        self.launches: Counter[str] = Counter()
        self.launch_places: Counter[str] = Counter()
        self.waits: list[Wait] = []
        self.uploads: list[Upload] = []
        self.mixed: list[str] = []
        self.attention: list[AttentionCall] = []

    @property
    def num_launches(self) -> int:
        """Launches since `reset`."""
        return self.launches.total()

    def on_device(self, inner: Tensor) -> GpuTensor:
        """A tensor of the device with these numbers, or with this shape."""
        return GpuTensor(inner.to(self.device), self)

    # The context -----------------------------------------------------------------------------------------------

    def __enter__(self) -> "FakeGpu":
        run = threading.Thread.run

        def run_with_gpu(thread: threading.Thread) -> None:
            with torch.no_grad(), _Calls(self):
                run(thread)

        cuda: dict[str, Any] = {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "get_device_name": lambda *_: "fake GPU",
            "get_device_capability": lambda *_: self.capability,
            "get_device_properties": lambda *_: SimpleNamespace(uuid="fake"),
            "is_bf16_supported": lambda *_, **__: self.capability >= (8, 0),
            "Event": type("Event", (_Event,), {"gpu": self}),
            "Stream": type("Stream", (_Stream,), {"gpu": self}),
            "current_stream": lambda *_: torch.cuda.Stream(),
            "stream": self._in_stream,
            "synchronize": lambda *_: self.wait("synchronize"),
            "empty_cache": lambda: None,
            "max_memory_allocated": lambda *_: 0,
            "max_memory_reserved": lambda *_: 0,
            "memory_allocated": lambda *_: 0,
            "memory_reserved": lambda *_: 0,
            "mem_get_info": lambda *_: (10**9, 10**10),
            "reset_peak_memory_stats": lambda *_: None,
        }
        self._patches = [
            mock.patch.multiple(torch.cuda, **cuda),
            mock.patch.object(threading.Thread, "run", run_with_gpu),
            _module_parameters_are_replaced(),
            self._kernels(),
            torch.no_grad(),
        ]
        for patch in self._patches:
            patch.__enter__()
        self._mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._mode.__exit__(*error)
        for patch in reversed(self._patches):
            patch.__exit__(*error)

    @contextmanager
    def _kernels(self) -> Iterator[None]:
        """What PyTorch's own code calls to get memory of the device, for instance for the -1 of ``where(x, y, -1)``."""

        def empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: object) -> Tensor:
            memory_format = memory_format or torch.contiguous_format
            return GpuTensor(torch.empty(size, dtype=dtype, device=self.device, memory_format=memory_format), self)

        def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: object) -> Tensor:
            return GpuTensor(torch.empty_strided(size, stride, dtype=dtype, device=self.device), self)

        with torch.library._scoped_library("aten", "IMPL") as library:
            library.impl("empty.memory_format", empty, "CUDA")
            library.impl("empty_strided", empty_strided, "CUDA")
            yield

    # What is recorded ------------------------------------------------------------------------------------------

    def launch(self, name: str) -> None:
        """Enqueue one kernel."""
        with self._lock:
            self.enqueued += 1
            self.launches[name] += 1
            self.launch_places[_place()] += 1

    def wait(self, kind: str, until: int | None = None, made_at: int | None = None) -> None:
        """Let the host wait for launch number ``until``, or for all that is enqueued."""
        with self._lock:
            until = self.enqueued if until is None else until
            self.waits.append(Wait(kind, _place(2), _thread(), until, self.enqueued, made_at))
            arrived = [one for one in self._downloads if one[0] <= until]
            self._downloads = [one for one in self._downloads if one[0] > until]
            for _, host, numbers in arrived:
                host.copy_(numbers)

    @contextmanager
    def _in_stream(self, stream: "_Stream") -> Iterator[None]:
        """``torch.cuda.stream(stream)``: this thread's copies to the host are not behind what the main stream gets."""
        self._local.until = stream.until
        try:
            yield
        finally:
            self._local.until = None

    # Operations ------------------------------------------------------------------------------------------------

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out one ATen operation with at least one tensor of the device."""
        name = func._schema.name.partition("::")[2]
        if name == "copy_" and not isinstance(args[0], GpuTensor):
            return self._copy_to_host(args[0], args[1], bool(args[2]) if len(args) > 2 else False)
        if _is_composite(func):
            return func._op_dk(_COMPOSITE, *args, **kwargs)
        to_host = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        if name == "_to_copy" and to_host:
            return self._copied_to_host(args[0], kwargs)
        tensors = list(_tensors(args, kwargs))
        self._check_devices(name, args, tensors)
        if name in WAITING or (name == "index" and any(_is_mask(x) for x in args[1])):
            self.wait(name, made_at=max(x.made_at for x in tensors if isinstance(x, GpuTensor)))
            if not self.has_values and name == "_local_scalar_dense":
                return MADE_UP
        if not _is_view(func, name) and name not in NO_LAUNCH:
            self.launch(name)
        if name == "copy_" and not isinstance(args[1], GpuTensor):
            self._record_upload(args[1], bool(args[2]) if len(args) > 2 else False)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": self.device}
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": None}
        out = func(*(self._inner(x) for x in args), **{name: self._inner(x) for name, x in kwargs.items()})
        if func._schema.is_mutable and func._schema.returns:
            args[0].made_at = self.enqueued
            return args[0]
        return self._wrapped(out)

    def _wrapped(self, out: Any) -> Any:
        if isinstance(out, list | tuple):
            return type(out)(self._wrapped(x) for x in out)
        return GpuTensor(out, self) if isinstance(out, Tensor) else out

    def _inner(self, x: Any) -> Any:
        if isinstance(x, list | tuple):
            return [self._inner(one) for one in x]
        if isinstance(x, GpuTensor):
            return x.inner
        return x.to(self.device) if isinstance(x, Tensor) else x

    def _check_devices(self, name: str, args: tuple[Any, ...], tensors: Sequence[Tensor]) -> None:
        is_copy = name in ("copy_", "_to_copy")
        if not is_copy and any(x.dim() > 0 and not isinstance(x, GpuTensor) for x in tensors):
            self.mixed.append(f"{name} at {_place(2)}")

    def _copied_to_host(self, x: GpuTensor, kwargs: dict[str, Any]) -> Tensor:
        host = torch.empty(x.shape, dtype=kwargs.get("dtype") or x.dtype)
        return self._copy_to_host(host, x, bool(kwargs.get("non_blocking", False)))

    def _copy_to_host(self, host: Tensor, x: GpuTensor, non_blocking: bool) -> Tensor:
        """Into pageable memory at once, the host waiting; into pinned memory, non_blocking, when an event says so."""
        self.launch("copy to host")
        numbers = x.inner.clone() if self.has_values else torch.full(x.shape, MADE_UP).to(host.dtype)
        if not (non_blocking and self.is_pinned(host)):
            self.wait("copy to host", until=getattr(self._local, "until", None), made_at=x.made_at + 1)
            return host.copy_(numbers)
        if host.is_contiguous():
            host.view(-1).view(torch.uint8).fill_(GARBAGE_BYTE)
        self._downloads.append((self.enqueued, host, numbers))
        return host

    def _record_upload(self, host: Tensor, non_blocking: bool) -> None:
        if host.dim() == 0:
            return  # a number goes along with the launch
        waits = not (non_blocking and self.is_pinned(host))
        self.uploads.append(Upload(_place(2), _thread(), host.numel() * host.element_size(), waits))

    # What the program calls ------------------------------------------------------------------------------------

    def upload(self, host: Tensor, dtype: torch.dtype | None, non_blocking: bool) -> Tensor:
        """``host.to("cuda")``."""
        self._record_upload(host, non_blocking)
        self.launch("copy to device")
        inner = host.detach().to(self.device, copy=True)
        made = GpuTensor(inner, self)
        return made if dtype in (None, host.dtype) else made.to(dtype)

    def pin(self, host: Tensor) -> Tensor:
        """``host.pin_memory()``: a copy in pinned memory."""
        assert not isinstance(host, GpuTensor), "only tensors of the host can be pinned"
        return self.mark_pinned(host.clone(memory_format=torch.contiguous_format))

    def mark_pinned(self, host: Tensor) -> Tensor:
        """This tensor's memory counts as pinned."""
        ref = StorageWeakRef(host.untyped_storage())
        self._pinned[ref.cdata] = ref
        return host

    def is_pinned(self, host: Tensor) -> bool:
        """``host.is_pinned()``."""
        return host.untyped_storage()._cdata in self._pinned

    def attend(self, q: Any, k: Any, v: Any, attn_mask: Any = None, **kwargs: Any) -> Tensor:
        """``F.scaled_dot_product_attention``: one launch."""
        if not all(isinstance(x, GpuTensor) for x in (q, k, v)) or isinstance(attn_mask, Tensor) > isinstance(
            attn_mask, GpuTensor
        ):
            self.mixed.append(f"attention at {_place(2)}")
        self.launch("attention")
        self.attention.append(AttentionCall(tuple(q.shape), tuple(k.shape), tuple(v.shape), q.dtype))
        if not self.has_values:
            return GpuTensor(torch.empty(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device=self.device), self)
        q, k, v, attn_mask = (self._inner(x) for x in (q, k, v, attn_mask))
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, **kwargs)
        return GpuTensor(out.contiguous(), self)

    def tolist(self, x: GpuTensor) -> Any:
        """``x.tolist()``."""
        self.wait("tolist", made_at=x.made_at)
        return x.inner.tolist() if self.has_values else torch.full(x.shape, MADE_UP).tolist()


class _Calls(TorchFunctionMode):
    """Sees calls of torch's functions before they reach code that needs a real device."""

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        x = args[0] if args else None
        if isinstance(x, GpuTensor) and (method := _METHODS.get(func)) is not None:
            return method(x, *args[1:], **kwargs)
        if isinstance(x, GpuTensor) and func is torch.nn.functional.scaled_dot_product_attention:
            return self._gpu.attend(*args, **kwargs)
        if isinstance(x, Tensor) and not isinstance(x, GpuTensor):
            return self._of_host(func, x, args, kwargs)
        if _is_cuda(kwargs.get("device")):
            return self._made_on_device(func, args, kwargs)
        if kwargs.pop("pin_memory", False):
            return self._gpu.mark_pinned(func(*args, **kwargs))
        return func(*args, **kwargs)

    def _of_host(self, func: Any, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call whose first tensor is of the host."""
        if func in (Tensor.to, Tensor.cuda):
            device, dtype, non_blocking = _wanted(func, args[1:], kwargs)
            if _is_cuda(device):
                return self._gpu.upload(x, dtype, non_blocking)
        if func is Tensor.pin_memory:
            return self._gpu.pin(x)
        if func is Tensor.is_pinned:
            return self._gpu.is_pinned(x)
        if func is Tensor.copy_ and isinstance(args[1], GpuTensor):
            non_blocking = bool(args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            return self._gpu._copy_to_host(x, args[1], non_blocking)
        if _is_cuda(kwargs.get("device")):
            return self._made_on_device(func, args, kwargs)
        return func(*args, **kwargs)

    def _made_on_device(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """torch.zeros(…, device="cuda") and its like."""
        made = func(*args, **{**kwargs, "device": self._gpu.device})
        name = func.__name__
        if name == "tensor":
            self._gpu._record_upload(torch.zeros(max(1, made.numel()), dtype=made.dtype), non_blocking=False)
        if name not in NO_LAUNCH:
            self._gpu.launch(name)
        return GpuTensor(made, self._gpu)


class _Event:
    """torch.cuda.Event: a place in the order of launches."""

    gpu: FakeGpu

    def __init__(self, enable_timing: bool = False, **_: object) -> None:
        self._at, self._time = 0, 0.0

    def record(self, *_: object) -> None:
        self._at, self._time = self.gpu.enqueued, time.perf_counter()

    def synchronize(self) -> None:
        self.gpu.wait("event", until=self._at, made_at=self._at)

    def query(self) -> bool:
        return False  # the device is always behind

    def wait(self, *_: object) -> None:
        """Another stream waits for this one; there is one stream here."""

    def elapsed_time(self, other: "_Event") -> float:
        return (other._time - self._time) * 1000


class _Stream:
    """torch.cuda.Stream: all of them are the same one here, but for copies to the host within `torch.cuda.stream`."""

    gpu: FakeGpu

    def __init__(self, *_: object, **__: object) -> None:
        self.until = 0  # the launch of the main stream that this one waits for

    def synchronize(self) -> None:
        self.gpu.wait("synchronize")

    def record_event(self, event: Any = None) -> Any:
        event = event or torch.cuda.Event()
        event.record()
        return event

    def wait_event(self, event: Any) -> None:
        self.until = event._at

    def wait_stream(self, stream: Any) -> None: ...


# Python's bindings of these methods look for a real device, so they are spelled out by operations ----------------


def _wanted(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, torch.dtype | None, bool]:
    """Device, dtype and non_blocking of a call of ``to``, ``cpu`` or ``cuda``."""
    device, dtype, flags = kwargs.get("device"), kwargs.get("dtype"), []
    if func is Tensor.cuda:
        device = device or CUDA
    for value in args:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, bool):
            flags.append(value)
        elif value is not None:
            device = value
    return device, dtype, bool(kwargs.get("non_blocking", flags[0] if flags else False))


def _to(x: GpuTensor, *args: Any, **kwargs: Any) -> Tensor:
    device, dtype, non_blocking = _wanted(Tensor.to, args, kwargs)
    if device is not None and torch.device(device).type == "cpu":
        return x.gpu._copied_to_host(x, {"dtype": dtype, "non_blocking": non_blocking})
    if dtype in (None, x.dtype) and not kwargs.get("copy"):
        return x
    made: Tensor = torch.ops.aten._to_copy(x, dtype=dtype, memory_format=kwargs.get("memory_format"))
    return made


def _getitem(x: GpuTensor, index: Any) -> Tensor:
    view, tensors = _sliced(x, index)
    return view if not tensors else torch.ops.aten.index(view, tensors)


def _setitem(x: GpuTensor, index: Any, value: Any) -> None:
    view, tensors = _sliced(x, index)
    if not isinstance(value, Tensor):
        value = torch.full((), value, dtype=x.dtype)
    if tensors:
        torch.ops.aten.index_put_(view, tensors, value)
    else:
        torch.ops.aten.copy_(view, value)


def _sliced(x: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """The view that numbers, slices, None and Ellipsis of an index give, and the index's tensors by axis."""
    parts = index if isinstance(index, tuple) else (index,)
    num_axes = sum(part is not None and part is not Ellipsis for part in parts)
    view, axis = x, 0
    tensors: list[Tensor | None] = []
    for part in parts:
        if part is None:
            view, axis = torch.ops.aten.unsqueeze(view, axis), axis + 1
        elif part is Ellipsis:
            axis += x.dim() - num_axes
        elif isinstance(part, slice):
            if part != slice(None):
                view = torch.ops.aten.slice(view, axis, part.start, part.stop, 1 if part.step is None else part.step)
            axis += 1
        elif isinstance(part, Tensor | list):
            tensors += [None] * (axis - len(tensors)) + [torch.as_tensor(part)]
            axis += 1
        else:
            view = torch.ops.aten.select(view, axis, int(part))
    return view, tensors


def _number(x: GpuTensor) -> Any:
    return torch.ops.aten._local_scalar_dense(x)


def _new_tensor(x: GpuTensor, data: Any, **kwargs: Any) -> Tensor:
    return x.gpu.upload(torch.tensor(data, dtype=kwargs.get("dtype", x.dtype)), None, non_blocking=False)


def _copy(x: GpuTensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    copied: Tensor = torch.ops.aten.copy_(x, source, non_blocking)
    return copied


def _contiguous(x: GpuTensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    if x.is_contiguous(memory_format=memory_format):
        return x
    made: Tensor = torch.ops.aten.clone(x, memory_format=memory_format)
    return made


_METHODS: dict[Any, Callable[..., Any]] = {
    Tensor.to: _to,
    Tensor.cpu: lambda x: _to(x, "cpu"),
    Tensor.cuda: lambda x, *_, **__: x,
    Tensor.float: lambda x: _to(x, torch.float32),
    Tensor.double: lambda x: _to(x, torch.float64),
    Tensor.half: lambda x: _to(x, torch.float16),
    Tensor.bfloat16: lambda x: _to(x, torch.bfloat16),
    Tensor.long: lambda x: _to(x, torch.int64),
    Tensor.int: lambda x: _to(x, torch.int32),
    Tensor.bool: lambda x: _to(x, torch.bool),
    Tensor.tolist: lambda x: x.gpu.tolist(x),
    Tensor.item: _number,
    Tensor.__float__: lambda x: float(_number(x)),
    Tensor.__int__: lambda x: int(_number(x)),
    Tensor.__index__: lambda x: int(_number(x)),
    Tensor.__bool__: lambda x: bool(_number(x)),
    Tensor.__getitem__: _getitem,
    Tensor.__setitem__: _setitem,
    Tensor.contiguous: _contiguous,
    Tensor.copy_: _copy,
    Tensor.new_tensor: _new_tensor,
    Tensor.nonzero: torch.ops.aten.nonzero.default,
    torch.nonzero: torch.ops.aten.nonzero.default,
    Tensor.is_pinned: lambda x: False,
}


@functools.cache
def _is_composite(func: Any) -> bool:
    """Whether PyTorch carries the operation out by others, which are seen one by one."""
    has_kernel: bool = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE)
    return has_kernel


@functools.cache
def _is_view(func: Any, name: str) -> bool:
    returns = func._schema.returns
    aliases = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    return aliases or name in VIEWS


def _tensors(args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors among an operation's arguments, some of which are lists of tensors."""
    for x in (*args, *kwargs.values()):
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, list | tuple):
            yield from (one for one in x if isinstance(one, Tensor))


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


@contextmanager
def _module_parameters_are_replaced() -> Iterator[None]:
    """`nn.Module.to` makes new parameters: those of the host cannot become tensors of another class."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def _place(depth: int = 1) -> str:
    """Where in the package this happens, innermost line first."""
    places: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(places) < depth:
        if path := _path_in_package(frame.f_code.co_filename):
            places.append(f"{path}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(places) or "outside of the package"


@functools.cache
def _path_in_package(filename: str) -> str | None:
    _, is_ours, path = filename.rpartition("/samurai_batch/")
    return path if is_ours and "/tests/" not in filename else None


def _thread() -> str:
    return threading.current_thread().name.partition("_")[0]
