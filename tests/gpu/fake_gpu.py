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

A CUDA graph is one launch (`graphs`); its operations are carried out again with the memory that they had.

What is copied to the host without waiting arrives when the host waits for an event that was recorded after the copy,
or for the whole device. Before that, the host's tensor holds nothing of use, as on a GPU.

What this does not show: speed, memory, numerical differences of CUDA's kernels, several streams at once, gradients.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from tests.gpu import aten, graphs, streams
from tests.gpu.calls import Calls
from tests.gpu.gpu_tensor import GpuTensor, tensors_in
from tests.gpu.records import AttentionCall, Upload, Wait, place, thread_name

MADE_UP = 0.75  # what the host reads where there are shapes only
GARBAGE_BYTE = 0xA5  # what is in the host's memory before a copy has arrived


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
        self.graph: graphs.CudaGraph | None = None  # that is being captured
        self._mode: TorchFunctionMode = Calls(self)
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
            with torch.no_grad(), Calls(self):
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
            "Event": type("Event", (streams.Event,), {"gpu": self}),
            "Stream": type("Stream", (streams.Stream,), {"gpu": self}),
            "CUDAGraph": type("CUDAGraph", (graphs.CudaGraph,), {"gpu": self}),
            "graph": graphs.capture,
            "graph_pool_handle": lambda: (0, 1),
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

    @property
    def captured(self) -> graphs.CudaGraph | None:
        """The CUDA graph that this thread captures, if it does."""
        graph = self.graph
        return graph if graph is not None and graph.thread == threading.get_ident() else None

    def launch(self, name: str) -> None:
        """Enqueue the kernel of an operation; some, which give memory alone, have none."""
        if name in aten.NO_LAUNCH or self.captured is not None:
            return
        with self._lock:
            self.enqueued += 1
            self.launches[name] += 1
            self.launch_places[place()] += 1

    def wait(self, kind: str, until: int | None = None, made_at: int | None = None) -> None:
        """Let the host wait for launch number ``until``, or for all that is enqueued."""
        self._refuse_in_capture(kind)
        with self._lock:
            until = self.enqueued if until is None else until
            self.waits.append(Wait(kind, place(2), thread_name(), until, self.enqueued, made_at))
            arrived = [one for one in self._downloads if one[0] <= until]
            self._downloads = [one for one in self._downloads if one[0] > until]
            for _, host, numbers in arrived:
                host.copy_(numbers)

    def _refuse_in_capture(self, what: str) -> None:
        if self.captured is not None:
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({what})")

    @contextmanager
    def _in_stream(self, stream: streams.Stream) -> Iterator[None]:
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
            return self.copy_to_host(args[0], args[1], bool(args[2]) if len(args) > 2 else False)
        if aten.is_composite(func):
            return func._op_dk(aten.COMPOSITE, *args, **kwargs)
        to_host = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        if name == "_to_copy" and to_host:
            return self.copied_to_host(args[0], kwargs)
        tensors = list(tensors_in(args, kwargs))
        self._check_devices(name, args, tensors)
        if aten.waits(name, args):
            self.wait(name, made_at=max(x.made_at for x in tensors if isinstance(x, GpuTensor)))
            if not self.has_values and name == "_local_scalar_dense":
                return MADE_UP
        if not aten.is_view(func, name):
            self.launch(name)
        if name == "copy_" and not isinstance(args[1], GpuTensor):
            self.record_upload(args[1], bool(args[2]) if len(args) > 2 else False)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": self.device}
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": None}
        out = self.carry_out(func, [self._inner(x) for x in args], {key: self._inner(x) for key, x in kwargs.items()})
        if func._schema.is_mutable and func._schema.returns:
            args[0].made_at = self.enqueued
            return args[0]
        return self._wrapped(out)

    def carry_out(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The result of an operation on the tensors behind the device's."""
        out = function(*args, **kwargs)
        if (graph := self.captured) is not None:
            graph.add(function, args, kwargs, out)
        return out

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
            self.mixed.append(f"{name} at {place(2)}")

    def copied_to_host(self, x: GpuTensor, kwargs: dict[str, Any]) -> Tensor:
        """``x.to("cpu")``."""
        host = torch.empty(x.shape, dtype=kwargs.get("dtype") or x.dtype)
        return self.copy_to_host(host, x, bool(kwargs.get("non_blocking", False)))

    def copy_to_host(self, host: Tensor, x: GpuTensor, non_blocking: bool) -> Tensor:
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

    def record_upload(self, host: Tensor, non_blocking: bool) -> None:
        """Record a copy of a tensor of the host to the device."""
        if host.dim() == 0:
            return  # a number goes along with the launch
        self._refuse_in_capture("copy to the device")
        waits = not (non_blocking and self.is_pinned(host))
        self.uploads.append(Upload(place(2), thread_name(), host.numel() * host.element_size(), waits))

    # What the program calls ------------------------------------------------------------------------------------

    def upload(self, host: Tensor, dtype: torch.dtype | None, non_blocking: bool) -> Tensor:
        """``host.to("cuda")``."""
        self.record_upload(host, non_blocking)
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
            self.mixed.append(f"attention at {place(2)}")
        self.launch("attention")
        self.attention.append(AttentionCall(tuple(q.shape), tuple(k.shape), tuple(v.shape), q.dtype))
        if not self.has_values:
            return GpuTensor(torch.empty(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device=self.device), self)
        return GpuTensor(self.carry_out(_attention, [self._inner(x) for x in (q, k, v, attn_mask)], kwargs), self)

    def tolist(self, x: GpuTensor) -> Any:
        """``x.tolist()``."""
        self.wait("tolist", made_at=x.made_at)
        return x.inner.tolist() if self.has_values else torch.full(x.shape, MADE_UP).tolist()


def _attention(*args: Any, **kwargs: Any) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(*args, **kwargs).contiguous()


@contextmanager
def _module_parameters_are_replaced() -> Iterator[None]:
    """`nn.Module.to` makes new parameters: those of the host cannot become tensors of another class."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
