"""Decoupled interfaces: a recurrent network learns from a predicted gradient before the true one could have arrived.

J. Pemberton, E. Boven, R. Apps, R. P. Costa, "Cortico-cerebellar networks as decoupling neural interfaces", NeurIPS 2021
(arXiv:2110.11501), where the recurrent network is the cortex and the predictor C the cerebellum; synthetic gradients are those of M.
Jaderberg et al., "Decoupled neural interfaces using synthetic gradients", ICML 2017, section 2.1. A sequence is cut into windows,
through which alone errors travel back. With s_k the state at the start of window k, cut off from the past, and E_k the loss in it:

    g_(k+1) = α C(s_(k+1))                                  what is fed in at the end of window k, as it is
    δ_k     = dE_k/ds_k + (ds_(k+1)/ds_k)ᵀ g_(k+1)          what arrives at its start, and what C(s_k) should have been
    E_C     = Σ_k |C(s_k) - δ_k|²                           the loss of C; neither s_k nor δ_k gets a gradient from it

As long as no weight changes on the way, the windows depend on each other by the values of their states alone. So all of them go
through the network side by side, as one batch, and back in one pass: what is done one window after the other otherwise. This takes
the memory of the whole sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

__all__ = [
    "CorticoCerebellarRNN",
    "DecoupledStep",
    "DecoupledTrainer",
    "GradientSynthesizer",
    "StateGradients",
    "gradient_cosine",
    "synthetic_gradient_step",
    "true_state_gradients",
]

Loss = Callable[[Tensor, Tensor], Tensor]
Cerebellum = Literal["intact", "frozen", "ablated"]
AtTheEnd = Literal["synthetic", "zero"]
Reduction = Literal["sum", "mean"]
Update = Literal["sequence", "window"]


class GradientSynthesizer(nn.Module):
    """A perceptron with rectified hidden layers that predicts, from a state, the gradient that later losses have in it.

    Shapes: state (B, state_dim), context (B, context_dim), output (B, state_dim).

    Args:
        state_dim: size of a state.
        hidden_dim: units of each hidden layer.
        n_hidden: hidden layers; without any the map is linear.
        zero_last: whether the last layer starts at zero, so that learning starts as truncated back-propagation. A random last layer
            is a control that needs no learning.
        context_dim: size of what it sees beside the state, such as the one-hot label in Jaderberg et al.; None for nothing.

    Raises:
        ValueError: if a size is not positive, or n_hidden negative; for a state or a context of another size, or one of the two too
            many or too few.
    """

    def __init__(
        self,
        state_dim: int,
        hidden_dim: int = 400,
        n_hidden: int = 2,
        *,
        zero_last: bool = True,
        context_dim: int | None = None,
    ) -> None:
        super().__init__()
        if min(state_dim, hidden_dim, 1 if context_dim is None else context_dim) < 1 or n_hidden < 0:
            raise ValueError(
                "state_dim, hidden_dim and context_dim must be positive and n_hidden not negative, "
                f"got {state_dim}, {hidden_dim}, {context_dim} and {n_hidden}"
            )
        self.state_dim = state_dim
        self.context_dim = context_dim
        sizes = [state_dim + (context_dim or 0), *[hidden_dim] * n_hidden, state_dim]
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        if zero_last:
            for parameter in self.layers[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, state: Tensor, context: Tensor | None = None) -> Tensor:
        if state.ndim != 2 or state.shape[1] != self.state_dim:
            raise ValueError(f"state must be (B, {self.state_dim}), got {tuple(state.shape)}")
        if context is not None or self.context_dim is not None:
            given = None if context is None else tuple(context.shape)
            wanted = None if self.context_dim is None else (len(state), self.context_dim)
            if given != wanted:
                raise ValueError(f"context must be {wanted}, got {given}")
        x = state if context is None else torch.cat([state, context], 1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        y: Tensor = self.layers[-1](x)
        return y


class CorticoCerebellarRNN(nn.Module):
    """A recurrent network with a linear read-out, and a synthesizer that is there for learning only.

    Shapes: input (B, T, input_size), output (B, T, output_size). A state is (B, state_dim): the hidden units, and behind them the
    memory cells of an LSTM. `rnn` is torch's own `nn.LSTM` or `nn.RNN`, so its weights can come from there.

    Args:
        input_size, hidden_size, output_size: units.
        cell: "lstm", or "rnn" for units with tanh.
        synthesizer: a module that takes states (and a context, if one is given in learning) and returns predicted gradients of their
            shape, such as a `GradientSynthesizer(state_dim)`; None for the recurrent network alone.
        sg_scale: α, by which a synthetic gradient is multiplied where it is fed in. Without a factor well below 1 the predictions,
            which learn from each other, can grow without bound.

    Raises:
        ValueError: for an unknown cell, a negative sg_scale, a `GradientSynthesizer` for states of another size, or inputs or states
            that do not fit.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        cell: Literal["lstm", "rnn"] = "lstm",
        synthesizer: nn.Module | None = None,
        sg_scale: float = 0.1,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "rnn"):
            raise ValueError(f"cell must be lstm or rnn, got {cell!r}")
        if not sg_scale >= 0:
            raise ValueError(f"sg_scale must not be negative, got {sg_scale}")
        self.rnn = (nn.LSTM if cell == "lstm" else nn.RNN)(input_size, hidden_size, batch_first=True)
        self.readout = nn.Linear(hidden_size, output_size)
        self.synthesizer = synthesizer
        self.sg_scale = sg_scale
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.state_dim = 2 * hidden_size if cell == "lstm" else hidden_size
        if isinstance(synthesizer, GradientSynthesizer) and synthesizer.state_dim != self.state_dim:
            raise ValueError(f"the synthesizer must take states of {self.state_dim}, got one for {synthesizer.state_dim}")

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The output at every step and the state behind the last, from `state`, or from zero when None."""
        hidden, state = self.advance(x, self.initial_state(x) if state is None else state)
        return self.readout(hidden), state

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step for input (B, input_size): output (B, output_size) and the next state."""
        hidden, state = self.advance(x.unsqueeze(1), state)
        return self.readout(hidden.squeeze(1)), state

    def advance(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden units at every step, (B, T, hidden_size), without the read-out, and the state behind the last."""
        if x.ndim != 3 or x.shape[2] != self.input_size or not x.shape[1]:
            raise ValueError(f"x must be (B, T, {self.input_size}) with at least one step, got {tuple(x.shape)}")
        if state.shape != (len(x), self.state_dim):
            raise ValueError(f"state must be {(len(x), self.state_dim)}, got {tuple(state.shape)}")
        rnn, size = self.rnn, self.hidden_size
        if x.shape[1] == 1:
            # A single step is several times quicker without what a whole sequence needs around it.
            weights = cast(Sequence[Tensor], (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0))
            if isinstance(rnn, nn.LSTM):
                h, c = torch.lstm_cell(x[:, 0], (state[:, :size], state[:, size:]), *weights)
                return h.unsqueeze(1), torch.cat([h, c], 1)
            h = torch.rnn_tanh_cell(x[:, 0], state, *weights)
            return h.unsqueeze(1), h
        parts = [part.contiguous().unsqueeze(0) for part in state.split(size, 1)]
        if isinstance(rnn, nn.LSTM):
            hidden, (h, c) = rnn(x, (parts[0], parts[1]))
            return hidden, torch.cat([h[0], c[0]], 1)
        hidden, h = rnn(x, parts[0])
        return hidden, h[0]

    def initial_state(self, x: Tensor) -> Tensor:
        """Zeros, (B, state_dim), for a batch x of any other shape."""
        return self.readout.weight.new_zeros(len(x), self.state_dim)

    def cortical_parameters(self) -> list[nn.Parameter]:
        """Those of the recurrent network and of the read-out."""
        return [*self.rnn.parameters(), *self.readout.parameters()]


class DecoupledStep(NamedTuple):
    """What one pass over a batch of sequences gave, all detached. K is the number of windows."""

    loss: Tensor  # scalar, summed over the steps that have a target
    state: Tensor  # (B, S), behind the last step
    starts: Tensor  # (B, K, S), the state at the start of each window
    predicted: Tensor | None  # (B, K, S), C of them; None where there is no C or it is ablated
    targets: Tensor | None  # (B, K, S), the δ of them, in their own order even when C learns from shuffled ones; None as well


def synthetic_gradient_step(
    model: CorticoCerebellarRNN,
    x: Tensor,
    y: Tensor,
    state: Tensor | None = None,
    *,
    bptt: int | None = 1,
    feedback: Sequence[int] | None = None,
    loss_fn: Loss = F.mse_loss,
    cerebellum: Cerebellum = "intact",
    at_the_end: AtTheEnd = "synthetic",
    reduction: Reduction = "sum",
    shuffle_targets: torch.Generator | None = None,
    context: Tensor | None = None,
) -> DecoupledStep:
    """Add the gradients of all windows of a batch to those that the parameters have, as `backward` does; change no parameter.

    Without a synthesizer it is truncated back-propagation through time, and with one window the full one.

    Args:
        model: the network, with its synthesizer C and α.
        x: (B, T, input_size).
        y: targets of the steps in `feedback`, (B, len(feedback), ...).
        state: (B, state_dim) before the first step; zero when None. No gradient flows into it.
        bptt: steps of a window, of which the last may be shorter; None for one window.
        feedback: the steps that have a target, rising, each between 0 and T - 1; all when None.
        loss_fn: takes outputs (N, output_size) and targets (N, ...), and returns the mean over the N rows. The loss of a window is
            the sum over its steps of this mean over the batch, so that it does not depend on how a sequence is cut.
        cerebellum: "intact"; "frozen", C is fed in and does not learn; "ablated", neither.
        at_the_end: of the last window, where nothing follows: "synthetic" feeds in C of the last state, as the authors' code does,
            though C never learns there; "zero" feeds in nothing.
        reduction: of the squares of C's error over samples, "sum" as in the authors' code, or "mean". (Over units and windows they
            are summed.) δ holds the 1 / B of the mean loss anyhow.
        shuffle_targets: a control: what C learns from is permuted over samples and windows (of one length), drawn with this generator.
        context: (B, context_dim), what C sees beside every state of a sample.

    Raises:
        ValueError: if bptt is not positive, or shapes, feedback or one of the words do not fit.
    """
    for name, word, known in (
        ("cerebellum", cerebellum, Cerebellum),
        ("at_the_end", at_the_end, AtTheEnd),
        ("reduction", reduction, Reduction),
    ):
        _one_of(name, word, known)
    if x.ndim != 3 or not x.shape[0] or not x.shape[1]:
        raise ValueError(f"x must be (B, T, {model.input_size}) and not empty, got {tuple(x.shape)}")
    steps = x.shape[1]
    bptt = steps if bptt is None else bptt
    if bptt < 1:
        raise ValueError(f"bptt must be positive, got {bptt}")
    due = _due(feedback, x, y)
    state = model.initial_state(x) if state is None else state.detach()

    synthesize = None if cerebellum == "ablated" else _synthesizer(model, context)
    # Windows of one length go side by side; a shorter one at the end follows on its own.
    even = steps - steps % bptt
    done: list[DecoupledStep] = []
    for start, stop, length in ((0, even, bptt), (even, steps, steps - even)):
        if start == stop:
            continue
        here = [place for place, step in enumerate(due) if start <= step < stop]
        done.append(
            _windows(
                model,
                x[:, start:stop],
                y[:, here],
                [due[place] - start for place in here],
                done[-1].state if done else state,
                length,
                loss_fn,
                synthesize,
                inject_last=stop < steps or at_the_end == "synthetic",
                learning=cerebellum == "intact",
                factor=1.0 if reduction == "sum" else 1 / len(x),
                shuffle=shuffle_targets,
            )
        )
    losses, states, starts, predicted, targets = zip(*done, strict=True)
    return DecoupledStep(torch.stack(losses).sum(), states[-1], torch.cat(starts, 1), _joined(predicted), _joined(targets))


def _windows(
    model: CorticoCerebellarRNN,
    x: Tensor,
    y: Tensor,
    due: list[int],
    state: Tensor,
    length: int,
    loss_fn: Loss,
    synthesize: Callable[[Tensor], Tensor] | None,
    *,
    inject_last: bool,
    learning: bool,
    factor: float,
    shuffle: torch.Generator | None,
) -> DecoupledStep:
    """All windows of one length, side by side as a batch of K B in which the windows are outermost."""
    batch, count = len(x), x.shape[1] // length
    x = x.reshape(batch, count, length, -1).transpose(0, 1).flatten(0, 1)
    states = [state]
    with torch.no_grad():
        for window in x.split(batch)[:-1]:
            states.append(model.advance(window, states[-1])[1])
    starts = torch.cat(states).requires_grad_(synthesize is not None)
    hidden, ends = model.advance(x, starts)

    loss, predicted = ends.new_zeros(()), None
    roots: list[Tensor] = []
    gradients: list[Tensor] = []
    if due:
        hidden = hidden.reshape(count, batch, length, -1).transpose(0, 1).flatten(1, 2)
        loss = len(due) * loss_fn(model.readout(hidden[:, due].flatten(0, 1)), y.flatten(0, 1))
        roots.append(loss)
        gradients.append(torch.ones_like(loss))
    if synthesize is not None:
        with torch.set_grad_enabled(learning):
            predicted = synthesize(starts.detach())
        with torch.no_grad():
            last = ends[-batch:].detach()
            last = synthesize(last) if inject_last else torch.zeros_like(last)
        roots.append(ends)
        # The end of a window is the start of the next, for which the prediction is there already.
        gradients.append(model.sg_scale * torch.cat([predicted[batch:].detach(), last]))
    if roots:
        torch.autograd.backward(roots, gradients)

    def by_sample(rows: Tensor) -> Tensor:
        return rows.detach().reshape(count, batch, -1).transpose(0, 1)

    if predicted is None:
        return DecoupledStep(loss.detach(), ends[-batch:].detach(), by_sample(starts), None, None)
    arrived = cast(Tensor, starts.grad)
    if learning and predicted.requires_grad:
        wanted = arrived if shuffle is None else arrived[torch.randperm(len(arrived), generator=shuffle).to(arrived.device)]
        (factor * (predicted - wanted).square().sum()).backward()
    return DecoupledStep(loss.detach(), ends[-batch:].detach(), by_sample(starts), by_sample(predicted), by_sample(arrived))


class DecoupledTrainer:
    """Trains a `CorticoCerebellarRNN` on batches of sequences, both parts of it with one optimiser.

    `cerebellum` may be set at any time to "frozen" (C is fed in but learns no more) or "ablated" (no longer fed in either), and back
    to "intact".

    Args:
        model: the network.
        optimizer: over its parameters.
        bptt: steps of a window; None for the whole sequence, which is full back-propagation through time.
        feedback_interval: a target is used at every n-th step, the first one included; None for the last step alone, and y then
            has no steps.
        update: whether parameters move once a sequence, from the gradients of all windows, or after each window. The first takes as
            many steps whatever bptt is.
        clip: largest gradient norm; None for no limit.
        clip_together: whether it is the norm over all parameters, as in the authors' code, or over those of the cortex and of the
            synthesizer apart. Together, large errors of C make the steps of the cortex smaller.
        loss_fn, at_the_end, reduction, shuffle_targets: as in `synthetic_gradient_step`.

    Raises:
        ValueError: if bptt, feedback_interval or clip is not positive, or a word is unknown.
    """

    def __init__(
        self,
        model: CorticoCerebellarRNN,
        optimizer: torch.optim.Optimizer,
        *,
        bptt: int | None = 1,
        feedback_interval: int | None = 1,
        update: Update = "sequence",
        clip: float | None = 1.0,
        clip_together: bool = True,
        loss_fn: Loss = F.mse_loss,
        at_the_end: AtTheEnd = "synthetic",
        reduction: Reduction = "sum",
        shuffle_targets: torch.Generator | None = None,
    ) -> None:
        for name, value in (("bptt", bptt), ("feedback_interval", feedback_interval), ("clip", clip)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or None, got {value}")
        _one_of("update", update, Update)
        _one_of("at_the_end", at_the_end, AtTheEnd)
        _one_of("reduction", reduction, Reduction)
        self.model = model
        self.optimizer = optimizer
        self.bptt = bptt
        self.feedback_interval = feedback_interval
        self.update = update
        self.clip = clip
        self.clip_together = clip_together
        self.loss_fn = loss_fn
        self.at_the_end: AtTheEnd = at_the_end
        self.reduction: Reduction = reduction
        self.shuffle_targets = shuffle_targets
        self.cerebellum: Cerebellum = "intact"

    def step(self, x: Tensor, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Learn from one batch.

        Args:
            x: (B, T, input_size).
            y: (B, T, ...), of which the steps that have feedback are read; (B, ...) where only the last has.
            context: as in `synthetic_gradient_step`.

        Returns:
            The loss before the update, summed over the steps with feedback, detached.

        Raises:
            ValueError: if shapes do not fit.
        """
        steps = x.shape[1]
        if self.feedback_interval is None:
            feedback, y = [steps - 1], y.unsqueeze(1)
        else:
            if y.shape[:2] != x.shape[:2]:
                raise ValueError(f"y must be {tuple(x.shape[:2])} and more to fit x {tuple(x.shape)}, got {tuple(y.shape)}")
            feedback = list(range(0, steps, self.feedback_interval))
            y = y[:, feedback]
        if self.update == "sequence":
            return self._update(x, y, feedback, None, context, self.at_the_end).loss
        length, state, loss = self.bptt or steps, None, x.new_zeros(())
        for start in range(0, steps, length):
            stop = min(start + length, steps)
            here = [place for place, step in enumerate(feedback) if start <= step < stop]
            due = [feedback[place] - start for place in here]
            # Only the last window of the sequence has nothing behind it.
            at_the_end = self.at_the_end if stop == steps else "synthetic"
            done = self._update(x[:, start:stop], y[:, here], due, state, context, at_the_end)
            state, loss = done.state, loss + done.loss
        return loss

    def _update(
        self,
        x: Tensor,
        y: Tensor,
        feedback: list[int],
        state: Tensor | None,
        context: Tensor | None,
        at_the_end: AtTheEnd,
    ) -> DecoupledStep:
        self.optimizer.zero_grad()
        done = synthetic_gradient_step(
            self.model,
            x,
            y,
            state,
            bptt=self.bptt,
            feedback=feedback,
            loss_fn=self.loss_fn,
            cerebellum=self.cerebellum,
            at_the_end=at_the_end,
            reduction=self.reduction,
            shuffle_targets=self.shuffle_targets,
            context=context,
        )
        if self.clip is not None:
            cortex, synthesizer = self.model.cortical_parameters(), self.model.synthesizer
            others = [] if synthesizer is None else list(synthesizer.parameters())
            for group in [cortex + others] if self.clip_together else [cortex, others]:
                nn.utils.clip_grad_norm_(group, self.clip)
        self.optimizer.step()
        return done


class StateGradients(NamedTuple):
    """The state before each step and the gradient that the losses from that step on have in it, both (B, T, state_dim)."""

    states: Tensor
    gradients: Tensor


def true_state_gradients(
    model: CorticoCerebellarRNN,
    x: Tensor,
    y: Tensor,
    state: Tensor | None = None,
    *,
    feedback: Sequence[int] | None = None,
    loss_fn: Loss = F.mse_loss,
) -> StateGradients:
    """What a synthesizer should predict if it could: gradients by full back-propagation through time. No parameter gets a gradient.

    Of the state before step k it is that of the losses at steps k, k + 1, …; those of earlier steps, into whose outputs the
    same state entered, are left out. Arguments, the sum over steps and errors are those of `synthetic_gradient_step`.
    """
    due = _due(feedback, x, y)
    with torch.enable_grad():
        states = [(model.initial_state(x) if state is None else state).detach().clone().requires_grad_()]
        outputs = []
        for step in range(x.shape[1]):
            output, following = model.step(x[:, step], states[-1])
            outputs.append(output)
            # Another name for the state, which the output of this step does not come from.
            states.append(following.view_as(following))
        if not due:
            return StateGradients(torch.stack(states[:-1], 1).detach(), torch.zeros_like(torch.stack(states[:-1], 1)))
        loss = len(due) * loss_fn(torch.stack([outputs[step] for step in due], 1).flatten(0, 1), y.flatten(0, 1))
        gradients = torch.autograd.grad(loss, states[:-1], allow_unused=True, materialize_grads=True)
    return StateGradients(torch.stack(states[:-1], 1).detach(), torch.stack(gradients, 1))


def gradient_cosine(predicted: Tensor, true: Tensor) -> Tensor:
    """The cosine of each predicted gradient with the true one.

    Args:
        predicted, true: (..., S).

    Returns:
        (...), NaN where the true gradient is zero, and 0 where only the predicted one is: `.nanmean()` is over what there was to
        predict.

    Raises:
        ValueError: if the shapes differ.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predicted and true must have one shape, got {tuple(predicted.shape)} and {tuple(true.shape)}")
    # In double precision: squares of small gradients would underflow.
    p, t = F.normalize(predicted.double(), dim=-1, eps=1e-300), true.double()
    cosine: Tensor = (p * t).sum(-1) / t.norm(dim=-1)
    return cosine.to(true.dtype)


def _synthesizer(model: CorticoCerebellarRNN, context: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """C as a function of states in which the samples repeat, window after window."""
    synthesizer = model.synthesizer
    if synthesizer is None or context is None:
        return synthesizer
    return lambda states: synthesizer(states, context.repeat(len(states) // len(context), 1))


def _due(feedback: Sequence[int] | None, x: Tensor, y: Tensor) -> list[int]:
    """The steps that have a target, checked against x and y."""
    batch, steps = x.shape[:2]
    due = list(range(steps)) if feedback is None else list(feedback)
    if sorted({step for step in due if 0 <= step < steps}) != due:
        raise ValueError(f"feedback must be rising steps between 0 and {steps - 1}, got {due}")
    if y.shape[:2] != (batch, len(due)):
        raise ValueError(f"y must be ({batch}, {len(due)}, ...), one target for each step with feedback, got {tuple(y.shape)}")
    return due


def _one_of(name: str, word: str, known: object) -> None:
    words = get_args(known)
    if word not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}, got {word!r}")


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present, 1) if present else None
