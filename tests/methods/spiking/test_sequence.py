"""The two ways through a sequence agree, whoever asks: eager torch, `torch.compile`, `torch.func`, tracing, several threads, CUDA."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.fx import symbolic_trace

from pressrun.methods.spiking import SURROGATES, ALIFNeuron, LIFNeuron, _sequence, alif, lif

Run = Callable[..., tuple[Tensor, tuple[Tensor, ...]]]


def run_lif(x: Tensor, v: Tensor, a: Tensor, **constants: object) -> tuple[Tensor, tuple[Tensor, ...]]:
    spikes, last = lif(x, v, **constants)  # type: ignore[arg-type]
    return spikes, (last + 0 * a,)


def run_alif(x: Tensor, v: Tensor, a: Tensor, **constants: object) -> tuple[Tensor, tuple[Tensor, ...]]:
    return alif(x, (v, a), beta=0.3, **constants)  # type: ignore[arg-type]


def looped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sequence, "kernels", lambda: None)


def results(run: Run, x: Tensor, v: Tensor, a: Tensor, **constants: object) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Spikes and state, and the gradients of what went in."""
    spikes, state = run(x, v, a, **constants)
    weight = torch.linspace(-1, 1, spikes.numel(), dtype=x.dtype, device=x.device).view_as(spikes)
    total = (spikes * weight).sum() + sum((s * weight[0]).sum() for s in state)
    return (spikes, *state), torch.autograd.grad(total, (x, v, a))


def inputs(dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(50, 3, 37, dtype=dtype, device=device).add_(0.4).requires_grad_()
    v, a = (torch.rand(3, 37, dtype=dtype, device=device, requires_grad=True) for _ in range(2))
    return x, v, a


def assert_same(found: tuple[tuple[Tensor, ...], ...], expected: tuple[tuple[Tensor, ...], ...]) -> None:
    assert 100 < found[0][0].sum() < 0.9 * found[0][0].numel()
    for one, other in zip(found[0], expected[0], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.skipif(_sequence.kernels() is None, reason="numba is not installed")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("v_reset", [None, -0.3])
@pytest.mark.parametrize("surrogate", list(SURROGATES))
@pytest.mark.parametrize("run", [run_lif, run_alif])
def test_compiled_and_looped_agree(
    run: Run, surrogate: str, v_reset: float | None, detach: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = {"tau": 1.7, "surrogate": surrogate, "v_reset": v_reset, "detach_reset": detach}
    found = results(run, *inputs(dtype), **constants)
    looped(monkeypatch)
    assert_same(found, results(run, *inputs(dtype), **constants))


@pytest.mark.parametrize("surrogate", list(SURROGATES))
def test_what_is_not_a_number_or_far_from_the_threshold_ends_the_same_on_both_paths(
    surrogate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = (
        torch.tensor([float("nan"), 1e30, -1e30, float("inf"), -float("inf"), 88.0, -710.0])
        .expand(3, -1)
        .clone()
        .requires_grad_()
    )

    def both() -> tuple[Tensor, Tensor]:
        spikes = lif(x, tau=1.5, surrogate=surrogate)[0]
        return spikes, torch.autograd.grad(spikes.sum(), x)[0]

    spikes, gradient = both()
    looped(monkeypatch)
    expected = both()
    assert torch.equal(spikes, expected[0])
    torch.testing.assert_close(gradient, expected[1], equal_nan=True)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda x: x[0].expand(50, -1, -1),
        lambda x: x[0, 0, 0].expand(50, 3, 37),
        lambda x: x.permute(0, 2, 1),
        lambda x: x[::2],
        lambda x: x[..., ::2],
        lambda x: x[:0, :0].expand(0, 0, 37).new_zeros(5, 0, 37).requires_grad_(),
        lambda x: x[:, 0, 0],
        lambda x: x.unfold(0, 10, 3),
    ],
    ids=["static", "one number", "transposed", "every second step", "every second neuron", "no neurons", "no batch", "windows"],
)
def test_it_does_not_matter_how_the_input_lies_in_memory(arrange: Callable[[Tensor], Tensor]) -> None:
    x = arrange(inputs(torch.float64)[0])
    straight = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    one, other = lif(x)[0], lif(straight)[0]
    assert torch.equal(one, other)
    if x.numel():
        torch.testing.assert_close(
            *(torch.autograd.grad(s.square().sum(0).sum(), i)[0] for s, i in ((one, x), (other, straight)))
        )


def test_a_gradient_may_come_from_the_last_potential_alone_or_reach_the_first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x, v, _ = inputs(torch.float64)

    def gradients() -> list[Tensor]:
        last_only = torch.autograd.grad(lif(x, v)[1].sum(), (x, v))
        start_only = torch.autograd.grad(lif(x.detach(), v)[0].sum(), v)
        return [*last_only, *start_only]

    found = gradients()
    looped(monkeypatch)
    torch.testing.assert_close(found, gradients())


def test_several_threads_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = results(run_alif, *inputs(torch.float32))
    monkeypatch.setattr(_sequence, "ENOUGH_FOR_A_THREAD", 100)
    threads = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        together = results(run_alif, *inputs(torch.float32))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip((*alone[0], *alone[1]), (*together[0], *together[1]), strict=True):
        assert torch.equal(one, other)


def test_half_precision_takes_the_loops() -> None:
    x = torch.full((4, 3), 0.8, dtype=torch.bfloat16)
    assert lif(x)[0].dtype == torch.bfloat16
    assert lif(x)[0][:, 0].tolist() == [0, 1, 0, 1]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 30), LIFNeuron(), nn.Linear(30, 30), ALIFNeuron(v_reset=0.0), nn.Linear(30, 5))


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_a_network_under_torch_compile_gives_the_same() -> None:
    def traced(model: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
        spikes = model[:4](x)
        return spikes, model[4](spikes)

    x, model, other = torch.linspace(0, 20, 8 * 16 * 20).view(8, 16, 20), network(), network()
    expected, found = traced(model, x), torch.compile(traced, fullgraph=True)(other, x)
    assert 50 < expected[0].sum() < 3000
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
    for _, logits in (expected, found):
        logits.square().sum().backward()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad)


@pytest.mark.parametrize("run", [run_lif, run_alif])
def test_vmap_runs_many_layers_at_once(run: Run) -> None:
    x, v, a = (tensor.detach() for tensor in inputs(torch.float64))
    for dims, arguments in (((1, 0, 0), (x, v, a)), ((1, None, None), (x, v[0], a[0])), ((None, 0, 0), (x[:, 0], v, a))):
        spikes, state = vmap(run, in_dims=dims, out_dims=(1, 0))(*arguments)
        for i in range(3):
            one = [tensor.select(dim, i) if dim is not None else tensor for dim, tensor in zip(dims, arguments, strict=True)]
            expected, ending = run(*one)
            assert torch.equal(spikes[:, i], expected)
            assert torch.equal(state[0][i], ending[0])


def test_gradients_of_every_sample_come_from_torch_func() -> None:
    model = network().double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    x = torch.rand(8, 6, 20, dtype=torch.float64) * 2

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(model, parameters, (sample,)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    for i in range(6):
        expected = torch.autograd.grad(model(x[:, i]).square().sum(), list(model.parameters()))
        torch.testing.assert_close([found[name][i] for name in parameters], list(expected))


def test_symbolic_tracing_keeps_a_layer_as_one_call() -> None:
    model, x = network(), torch.rand(8, 16, 20)
    traced = symbolic_trace(model)
    assert {node.target for node in traced.graph.nodes if node.op == "call_function"} >= {lif, alif}
    assert torch.equal(traced(x), model(x))


def test_the_operator_passes_the_checks_of_torch() -> None:
    x, v, a = (tensor.detach() for tensor in inputs(torch.float64))
    constants = _sequence.Constants(0.5, 1.0, False, True, "sigmoid", 4.0)
    for state in ((x.new_zeros(0), *constants), (a, *constants._replace(rho=0.9, beta=0.2, adaptive=True))):
        torch.library.opcheck(torch.ops.pressrun.sequence.default, (x, v, *state))
        torch.library.opcheck(torch.ops.pressrun.sequence_backward.default, (x, v, state[0], x, v, *state))


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_room_does_not_load_numba() -> None:
    assert python("import sys, pressrun.methods.spiking; print('numba' in sys.modules)").strip() == "False"


def test_without_numba_the_loops_do_it() -> None:
    code = "import sys; sys.modules['numba'] = None; import torch; from pressrun.methods.spiking import lif, _sequence"
    code += "; print(lif(torch.full((4, 1), 0.8))[0].flatten().tolist(), _sequence.kernels())"
    assert python(code).strip() == "[0.0, 1.0, 0.0, 1.0] None"


def test_a_function_that_cannot_be_kept_on_disk_is_compiled_all_the_same() -> None:
    pytest.importorskip("numba")
    from pressrun.methods.spiking._kernels import compiled

    scope: dict[str, Callable[[int], int]] = {}
    exec("def double(x):\n    return 2 * x\n", scope)  # has no file, so numba finds no folder for it
    assert compiled(scope["double"])(21) == 42


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("run", [run_lif, run_alif])
def test_a_gpu_gives_the_spikes_of_a_cpu(run: Run) -> None:
    here, there = results(run, *inputs(torch.float64)), None
    x, v, a = (tensor.detach().cuda().requires_grad_() for tensor in inputs(torch.float64))
    there = results(run, x, v, a)
    torch.testing.assert_close([t.cpu() for part in there for t in part], [t for part in here for t in part])
