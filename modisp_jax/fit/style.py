"""Fitting a style's networks to a few pairs of pictures: a start in closed form, then careful training."""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.config import RenderConfig
from modisp_jax.dynamicisp.losses import filtered_mean
from modisp_jax.fit.deltas import curvature
from modisp_jax.fit.jobs import job_losses
from modisp_jax.fit.optim import move, optimizer
from modisp_jax.fit.pairs import reduce_pair, vary
from modisp_jax.fit.samples import each_loss
from modisp_jax.fit.start import base_tables, score, shift_start, with_rgb_lut
from modisp_jax.fit.state import load_state, save_state
from modisp_jax.fit.style_config import count_kept, fit_style_config
from modisp_jax.fit.unpaired import (
    PLAIN,
    learn_functions,
    pairs_for_start,
    pairs_of_photos,
    reduce_photos,
    untaught,
)
from modisp_jax.look import finish_by_networks
from modisp_jax.losses import photofinish_losses
from modisp_jax.params import check_params
from modisp_jax.stages import FINISH_STAGES
from modisp_jax.tree import flatten
from modisp_jax.types import Edits, as_float32

STAGES = tuple(stage.name for stage in FINISH_STAGES)
PHOTOFINISH = "photofinish"


class FittedStyle(NamedTuple):
    """What :func:`fit_style` found."""

    params: dict
    """The parameter set with the best score; what was not fitted is as it came."""
    score: float
    """Its mean PSNR in dB on the pairs kept for validation (on all, where none were kept). Where the closed form of all
    pairs comes out (``FitStyleConfig.shift_by_all``), that of the one which has not seen those kept."""
    history: list
    """A dict a validation: ``step``, ``score``, ``worst`` (dB), ``loss`` (mean since the last; None before training),
    ``best`` (whether it was kept). Step 0 appears as ``start`` (as it came) and ``shifted`` (in closed form)."""
    done: bool
    """False where ``progress`` asked to stop; the same call with the same ``folder`` goes on."""


def fit_style(
    params,
    pairs,
    *,
    unpaired=None,
    stages=(PHOTOFINISH,),
    rgb_lut=False,
    steps=200,
    validation=0.2,
    seed=0,
    folder=None,
    config=None,
    progress=None,
):
    """Fits photofinishing's networks to finished pictures, from one pair to a few hundred.

    First, in seconds, what all pairs have in common: one gain, curve, gamma, chroma map and colour LUT, fitted through
    the stages' closed forms on top of what the networks choose, and put into their last layers. Then training at a
    small size on varied views, ``losses + towards_start / 2 |p - p_0|^2``, by Adam; the running average of the
    parameters is validated, and the best kept, be it the start. Denoiser and enhancement stay as they are.

    Args:
      params: the parameter set to start from, with photofinishing; the nearest style is the best start.
      pairs: list of (source, target): source a :class:`modisp_jax.Raw` or linear sRGB [H, W, 3] in [0, 1], target sRGB
        [H', W', 3] in [0, 1] of the same scene, orientation and aspect ratio. Every pair may have a size of its own.
      unpaired: list of ordinary photos, sRGB [H, W, 3] in [0, 1], of any look: a function ISP learned from the pairs
        makes further pairs of them (``modisp_jax.fit.unpaired``), for the closed form too. Better in the mean, most
        with few pairs: docs/semi.md.
      stages: what to train: ``"photofinish"`` for all of it, names of its stages (gain, gtm, ltm, rgb_lut, chroma,
        gamma), or (regex, factor on the learning rate) pairs as for ``modisp_jax.fit.optim.factors``.
      rgb_lut: add the colour LUT to a style that has none; lifted blacks and tints by luma need it.
      steps: training steps; 0 stops at the closed form.
      validation: share of the pairs kept for choosing the best parameters, in [0, 1). Rounded; where that leaves none
        (under three pairs by default) all are scored on what they were fitted to.
      seed: decides which pairs are kept, their order and their variation.
      folder: where state is written at each validation and when stopped, whole or not at all. The same call resumes
        and ends with the same bits.
      config: static :class:`modisp_jax.fit.FitStyleConfig`; None: :func:`fit_style_config` of the number of pairs.
      progress: called with a dict at each step (``step``, ``steps``, ``loss``; while the function ISP is learned
        ``functions`` in place of ``step``) and validation (the history's entry);
        what is true asks to stop and save. A KeyboardInterrupt saves, too, and is raised on. Of the function ISP,
        which is learned in a minute or two, nothing is saved before it is done.

    Returns:
      A :class:`FittedStyle`.

    Raises:
      ValueError: parameters without photofinishing, no pairs, wrong shapes (says of which pair), unknown stages, a
        folder that belongs to another fit, or a loss that is not finite.

    Reference: losses of arXiv 2512.08564, section F; the fit is ours.
    """
    rules = _rules(stages)
    if not isinstance(params, dict) or PHOTOFINISH not in params:
        raise ValueError("params: expected a parameter set with photofinishing")
    check_params(params)
    if not 0 <= validation < 1:
        raise ValueError(f"validation: expected a share in [0, 1), got {validation}")
    if not (isinstance(steps, int) and steps >= 0):
        raise ValueError(f"steps: expected a whole number from 0 on, got {steps!r}")
    pairs = list(pairs)
    config = fit_style_config(len(pairs), validation) if config is None else config
    came = as_float32(params[PHOTOFINISH])
    start = with_rgb_lut(came) if rgb_lut else came
    transform = optimizer(config.optim, max(steps, 1), {PHOTOFINISH: start}, rules)
    linear, target = _reduced(pairs, config.size)
    kept = _split(len(linear), validation, seed)
    train = [x[~kept] if kept.any() else x for x in (linear, target)]
    judge = [x[kept] if kept.any() else x for x in (linear, target)]
    photos = None if unpaired is None else reduce_photos(unpaired, config.size)
    identity = _identity(start, (linear, target, photos), rules, steps, validation, seed, config)
    path = None if folder is None else Path(folder) / "state.npz"
    teach = None
    if photos is not None and (steps or config.shift_start):
        teach = functools.partial(learn_functions, *train, config.unpaired, PLAIN, seed, progress)
    shift = functools.partial(_shifted, start, photos=photos, seed=seed, config=config)
    seen = (linear, target) if config.shift_by_all else train
    state, history = _begin(came, start, seen, judge, transform, shift, config, path, identity, teach)
    # What a step does not depend on must not have it compiled again.
    same = dataclasses.replace(config, validate_every=1, patience=1)
    one_step = functools.partial(_step, steps=max(steps, 1), rules=rules, config=same)
    done = teach is None or state["teaching"] is not None  # else asked to stop before the first step
    if done:
        state, history, done = _train(
            state, history, (*train, photos), judge, one_step, steps, seed, config, path, identity, progress
        )
    chosen = next((entry["step"] for entry in reversed(history) if entry["best"]), "start")
    best = came if chosen == "start" else state["best"]
    if done and chosen == "shifted" and not config.shift_by_all:
        best = shift((linear, target), state.get("teaching"))
    return FittedStyle(params | {PHOTOFINISH: jax.tree.map(jnp.asarray, best)}, _best_score(history), history, done)


def _rules(stages):
    """(regex, factor) rules of what to train, with a last one that freezes the rest."""
    if isinstance(stages, str):
        stages = (stages,)
    rules = []
    for stage in stages:
        if isinstance(stage, str) and stage in STAGES:
            rules.append((f"{PHOTOFINISH}/{stage}/", 1.0))
        elif isinstance(stage, str) and stage == PHOTOFINISH:
            rules.append((f"{PHOTOFINISH}/", 1.0))
        elif not isinstance(stage, str) and len(stage) == 2:
            rules.append((stage[0], stage[1]))
        else:
            known = ", ".join((PHOTOFINISH, *STAGES))
            raise ValueError(f"stages: expected names among {known}, or (regex, factor) pairs, got {stage!r}")
    if not rules:
        raise ValueError("stages: expected at least one")
    everything = any(pattern == f"{PHOTOFINISH}/" for pattern, _ in rules)
    return tuple(rules) if everything else (*rules, (f"{PHOTOFINISH}/", 0.0))


def _reduced(pairs, size):
    """All pairs at one size: two arrays [n, *size, 3]."""
    if not pairs:
        raise ValueError("pairs: expected at least one (source, target)")
    reduced = []
    for number, pair in enumerate(pairs):
        try:
            source, target = pair
            reduced.append(reduce_pair(source, target, size))
        except (ValueError, TypeError) as error:
            raise ValueError(f"pairs[{number}]: {error}") from None
    return tuple(np.stack(images) for images in zip(*reduced, strict=True))


def _split(count, share, seed):
    """Which of ``count`` pairs are kept for validation: a mask [count], the same for the same seed."""
    kept = np.zeros(count, bool)
    kept[np.random.default_rng([seed, 1]).permutation(count)[: count_kept(count, share)]] = True
    return kept


def _identity(start, images, rules, steps, validation, seed, config):
    """A checksum of all that decides how a fit ends."""
    digest = hashlib.sha256(json.dumps([rules, steps, validation, seed, repr(config)], default=str).encode())
    for name, leaf in sorted(flatten(start).items()):
        digest.update(name.encode() + np.asarray(leaf).tobytes())
    for array in images:
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()


def _begin(came, start, seen, judge, transform, shift, config, path, identity, teach):
    """The state before the first step, or the one that ``path`` holds; and the history until then.

    ``shift(seen, teaching)`` is the closed form; ``teach()`` what is learned for photos, None where asked to stop.
    """
    state = {"step": np.int64(0), "params": start, "ema": start, "best": start, "anchor": start}
    state["optimizer"] = jax.jit(transform.init)({PHOTOFINISH: start})
    state |= {"losses": np.zeros(2), "since": np.int64(0), "validated": np.int64(0)}
    if teach is not None:
        state["teaching"] = untaught(config.unpaired)
    if path is not None and path.is_file():
        return load_state(path, state, identity)
    history = [_entry("start", came, judge, [], None)]
    if teach is not None:
        state["teaching"] = teach()
        if state["teaching"] is None:
            return state, history
    chosen = start
    if config.shift_start:
        shifted = shift(seen, state.get("teaching"))
        # Two pairs kept may say anything; one change for all pairs is not learned by heart: those fitted decide.
        better = score(shifted, *seen)[0] > score(start, *seen)[0]
        history.append(_entry("shifted", shifted, judge, history, None) | {"best": bool(better)})
        chosen = shifted if better else start
    return state | {name: chosen for name in ("params", "ema", "best", "anchor")}, history


def _shifted(start, pairs, teaching, photos, seed, config):
    """The start with what pairs ([n, h, w, 3] each) have in common, and those made of photos where there are some."""
    if teaching is not None:
        made = pairs_for_start(teaching, photos, seed, config.unpaired)
        pairs = [np.concatenate(both) for both in zip(pairs, made, strict=True)]
    return shift_start(start, *pairs, config.curvature)


def _entry(step, photofinish, judge, history, loss):
    """An entry of the history."""
    mean, worst = score(photofinish, *judge)
    best = mean > _best_score(history)
    return {"step": step, "score": mean, "worst": worst, "loss": loss, "best": bool(best)}


def _best_score(history):
    """That of the last entry that was the best."""
    return next((entry["score"] for entry in reversed(history) if entry["best"]), -np.inf)


def _train(state, history, train, judge, one_step, steps, seed, config, path, identity, progress):
    """Trains from a state on; returns the last state, its history, and whether all was done."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)

    def save():
        if path is not None:
            save_state(path, *current, identity)

    current, stop = (state, history), False  # replaced as one, so that an interruption finds both of one time
    save()
    try:
        while not stop:
            state, history = current
            step = int(state["step"])
            if step > state["validated"] and (step % config.validate_every == 0 or step == steps):
                current = _validated(state, history, judge)
                save()
                record = current[1][-1]
            elif step < steps and state["since"] < config.patience:
                state, loss = _stepped(one_step, state, train, seed, config)
                current, record = (state, history), {"step": step + 1, "steps": steps, "loss": loss}
            else:
                break
            stop = bool(progress is not None and progress(record))
    except KeyboardInterrupt:
        save()
        raise
    if stop:
        save()
    return *current, not stop


def _stepped(one_step, state, train, seed, config):
    """The state after one more step, and its loss."""
    step = int(state["step"])
    chosen = _batch(len(train[0]), config.batch, step, seed)
    linear, target, photos = train
    arrays = jnp.asarray(linear[chosen]), jnp.asarray(target[chosen])
    more = {}
    if "teaching" in state:
        drawn = photos[_batch(len(photos), config.unpaired.photos, step, seed + 1)]
        more = {"teaching": state["teaching"], "photos": jnp.asarray(drawn)}
    key = jax.random.fold_in(jax.random.key(seed), step)
    moving = {name: state[name] for name in ("params", "ema", "optimizer")}
    moved, loss = one_step(moving, state["anchor"], arrays, key, step, **more)
    if not np.isfinite(loss := float(loss)):
        raise ValueError(f"step {step + 1}: the loss is not finite ({loss})")
    return state | moved | {"step": np.int64(step + 1), "losses": state["losses"] + [loss, 1.0]}, loss


def _validated(state, history, judge):
    """(state, history) after a validation."""
    total, count = state["losses"]
    entry = _entry(int(state["step"]), state["ema"], judge, history, float(total / count))
    since = np.int64(0 if entry["best"] else state["since"] + 1)
    state = state | {"validated": state["step"], "losses": np.zeros(2), "since": since}
    return state | ({"best": state["ema"]} if entry["best"] else {}), [*history, entry]


def _batch(count, size, step, seed):
    """Indices of a step's pairs: every pair once before any comes again, in an order drawn anew each time."""
    places = np.arange(step * size, (step + 1) * size)
    orders = {epoch: np.random.default_rng([seed, 2, epoch]).permutation(count) for epoch in set(places // count)}
    return np.array([orders[place // count][place % count] for place in places.tolist()])


@functools.partial(jax.jit, static_argnames=("steps", "rules", "config"))
def _step(state, anchor, pairs, key, number, steps, rules, config, teaching=None, photos=None):
    """(state, loss) after one step on a batch of pairs ([b, h, w, 3] each); ``anchor`` is where training started.

    With what :func:`learn_functions` has found, photos [p, h, w, 3] are a part of the batch.
    """
    count = len(pairs[0])
    if teaching is not None:
        made = pairs_of_photos(teaching, photos, jax.random.fold_in(key, count), config.unpaired)
        pairs = tuple(jnp.concatenate(both) for both in zip(pairs, made, strict=True))
    # As in the closed form what bends is the change: a style's own map has bends, learned of many more pictures.
    began = base_tables(anchor)

    def one(photofinish, linear, target, key):
        linear, target = vary(key, linear, target, config.augmentation)
        look, finished = finish_by_networks(photofinish, linear, Edits(), RenderConfig())
        terms = photofinish_losses(look, finished, target, weights=config.losses)
        if config.jobs is not None:
            terms |= job_losses(look, finished, linear, target, weights=config.jobs)
        bent = sum(curvature(getattr(look, name) - table) for name, table in began.items())
        return sum(terms.values()) + config.curvature * bent, None

    def loss(params):
        keys = jax.random.split(key, len(pairs[0]))
        filtered = (count, config.unpaired.beta) if teaching is not None else None
        losses, _ = each_loss(one, params[PHOTOFINISH], *pairs, keys, filtered=filtered)
        mean, _ = filtered_mean(losses[:count], losses[count:], config.unpaired.beta)
        leaves = zip(jax.tree.leaves(params[PHOTOFINISH]), jax.tree.leaves(anchor), strict=True)
        distance = sum(jnp.sum(jnp.square(p - q)) for p, q in leaves)
        return mean + 0.5 * config.towards_start * distance

    value, gradient = jax.value_and_grad(loss)({PHOTOFINISH: state["params"]})
    return _moved(state, gradient, number, steps, rules, config), value


def _moved(state, gradient, number, steps, rules, config):
    """What a step changes in the state; the gradient is that by {PHOTOFINISH: params}, whose names the rules match."""
    transform = optimizer(config.optim, steps, gradient, rules)
    before = {name: {PHOTOFINISH: state[name]} for name in ("params", "ema")} | {"optimizer": state["optimizer"]}
    after = move(transform, before, gradient, number, config.optim.ema)
    return {name: after[name][PHOTOFINISH] for name in ("params", "ema")} | {"optimizer": after["optimizer"]}
