"""The one process of a batch that plans, hands out photos and writes the manifest; it computes nothing itself."""

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import time

import jax
import numpy as np

from modisp_jax import __version__, compile_cache
from modisp_jax.batch.manifest import NAME, VERSION, Manifest
from modisp_jax.batch.plan import find_photos, make_plan, remove_leftovers, state_of_picture
from modisp_jax.batch.processes import Processes
from modisp_jax.batch.ray_actors import RayActors
from modisp_jax.batch.report import Report
from modisp_jax.describe import explain
from modisp_jax.interrupt import Interrupt
from modisp_jax.outputs import refuse_existing
from modisp_jax.render_files import open_session

TICK = 0.5
"""Seconds after which the driver looks whether it was interrupted."""

ATTEMPTS = 2
"""Times that a photo may take its worker down before it is given up."""

NOT_IN_PICTURES = ("output", "overwrite", "smooth_looks", "smooth_frames")
"""Options that do not decide what the pictures are, or that a batch does not have."""


def run(paths, options, *, recursive=False, processes=None, on_ray=False, retry_failed=False):
    """Renders photos into ``options.output``, going on from what its manifest says is done; returns the exit code.

    Args:
      paths: photos, folders and patterns, see :func:`modisp_jax.batch.plan.find_photos`.
      options: :class:`modisp_jax.render_files.RenderOptions`; ``overwrite`` replaces pictures that are there, and
        begins a batch anew that is complete or had other settings.
      recursive: folders stand for their subfolders too.
      processes: how many workers; None for one, or for what the cluster has.
      on_ray: have actors of Ray render, which is connected; else processes of this machine.
      retry_failed: render what an earlier run has reported as failed.

    Raises:
      ValueError: nothing to render, options that cannot be, two photos of one name, or a manifest of other settings.
    """
    jax.config.update("jax_platforms", "cpu")  # the accelerator's memory is for the workers
    photos = find_photos(paths, recursive)
    with contextlib.ExitStack() as stack:
        workers = RayActors(processes, options) if on_ray else Processes(min(processes or 1, len(photos)), options)
        stack.callback(workers.close)
        workers.waiting()  # which has them start, while the same is loaded here
        session = open_session(options)
        settings = settings_of(session)
        # Where there is no manifest yet, the folder stays as it is until all is known to be right.
        has_manifest = (options.output / NAME).exists()
        manifest = stack.enter_context(Manifest(options.output)) if has_manifest else None
        anew = manifest is None or _begins_anew(manifest, settings, options.overwrite, retry_failed)
        tasks = make_plan(photos, session, {} if anew else manifest.state.entries)
        queue, notes, failures = _what_is_left(tasks, options, retry_failed)
        if manifest is None:
            options.output.mkdir(parents=True, exist_ok=True)
            manifest = stack.enter_context(Manifest(options.output))
        at_risk = _clean_up(manifest.state, options)
        _write_beginning(manifest, tasks, settings if anew else None, str(workers))
        report = Report(len(tasks), len(tasks) - len(queue), failures)
        report.begins(workers, notes)
        whole = _render_all(queue, workers, manifest, report, options, at_risk)
        if whole:
            manifest.add({"end": manifest.state.run, "done": report.done, "failed": len(report.failures)})
        report.ends(whole)
    return 130 if not whole else 2 if report.failures else 0


def settings_of(session):
    """What decides the pictures, as JSON holds it: options, the package's version and the parameters' hashes."""
    options = dataclasses.asdict(session.options)
    settings = {name: value for name, value in options.items() if name not in NOT_IN_PICTURES}
    settings |= {"modisp_jax": __version__, "sha256": {end: _digest(params) for end, params in session.sets.items()}}
    for name in ("awb", "networks"):
        if (path := getattr(session.options, name)) is not None:
            settings["sha256"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return json.loads(json.dumps(settings, default=str))


def _digest(params):
    """SHA-256 over a parameter set's names, shapes and numbers."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        digest.update(array)
    return digest.hexdigest()


def _begins_anew(manifest, settings, overwrite, retry_failed):
    """Whether what the manifest has counts no more; raises where it is of other settings and may not be given up.

    A batch that was stopped goes on, with ``overwrite`` too: the same command resumes whatever its options.
    """
    state = manifest.state
    if state.settings is None:
        return True
    changed = [name for name in {**state.settings, **settings} if state.settings.get(name) != settings.get(name)]
    if changed and not overwrite:
        raise ValueError(
            f"{manifest.path}: is of a batch with other settings ({', '.join(changed)});"
            " choose another --output, or --overwrite begins anew"
        )
    return bool(changed) or (overwrite and state.complete and not retry_failed)


def _what_is_left(tasks, options, retry_failed):
    """(tasks to render, remarks on pictures that were found changed, failures of earlier runs that stay)."""
    queue, notes, failures = collections.deque(), [], []
    for task in tasks:
        entry = task.entry
        if entry.state == "failed" and not retry_failed:
            failures.append(entry.reason)
        elif entry.state != "done":
            queue.append(task)
        else:
            states = {name: state_of_picture(options.output / name, about) for name, about in entry.pictures.items()}
            changed = [name for name, state in states.items() if state == "changed"]
            if "lost" in states.values() or (changed and options.overwrite):
                queue.append(task)
            else:
                notes += [f"{options.output / name} has been changed since; it stays as it is" for name in changed]
    return queue, notes, failures


def _clean_up(state, options):
    """Removes what a killed run has left; returns the names of the pictures it had in hand, by photo.

    They are looked at once more at the end: a worker may outlive its driver by a moment.
    """
    if not state.complete:
        compile_cache.remove_torn(state.since)
    at_risk = {key: entry.outputs for key, entry in state.entries.items() if entry.state == "started"}
    for names in at_risk.values():
        remove_leftovers(options.output, names, options.save_stages)
    return at_risk


def _write_beginning(manifest, tasks, settings, workers):
    """The header of a new batch, the run, and the plan of photos that the manifest does not have as they are."""
    header = [] if settings is None else [{"modisp_batch": VERSION, "settings": settings}]
    entries = {} if header else manifest.state.entries
    begins = {"run": manifest.state.run + 1, "time": time.time(), "workers": workers, "jax": jax.__version__}
    begins |= {"host": platform.node(), "pid": os.getpid()}
    plan = [
        {"plan": task.key} | {name: getattr(task.entry, name) for name in ("size", "mtime_ns", "group", "outputs")}
        for task in tasks
        if task.entry is not entries.get(task.key)
    ]
    manifest.add(*header, begins, *plan)


def _render_all(queue, workers, manifest, report, options, at_risk):
    """Hands out the queue until it is empty or the user has asked to stop; returns whether all was rendered.

    A photo's start is on the disk before a worker has it, its end after its pictures are: a kill at any moment leaves
    photos that are known to have been in hand, of which nothing is believed.
    """
    deaths, begun = collections.Counter(), {}

    def begin_next(worker):
        while queue:
            task = queue.popleft()
            problem = _prepare(task.job)
            if problem is None:
                manifest.add({"start": task.key, "run": manifest.state.run, "by": worker.name})
                at_risk[task.key], begun[task.key] = task.entry.outputs, time.monotonic()
                workers.give(worker, task)
                return
            failed(task, problem)

    def failed(task, reason):
        manifest.add({"failed": task.key, "reason": reason})
        report.failed(task, reason)

    def ended(task, kind, value):
        seconds = time.monotonic() - begun[task.key]
        if kind == "died":
            manifest.add({"died": task.key, "reason": value})
            remove_leftovers(options.output, task.entry.outputs, options.save_stages)
            deaths[task.key] += 1
            if deaths[task.key] < ATTEMPTS:
                report.again(task, f"the worker died ({value})")
                queue.append(dataclasses.replace(task, job=dataclasses.replace(task.job, replace=True)))
                return
            failed(task, f"{task.job.photo}: the worker died, {ATTEMPTS} times; the last, {value}")
        elif kind == "failed":
            failed(task, value)
        else:
            manifest.add({"done": task.key, "seconds": round(seconds, 3), "outputs": value})
            report.finished(task, seconds)
        del at_risk[task.key]

    try:
        with Interrupt() as interrupt:
            while workers.busy() or (queue and not interrupt.asked):
                if interrupt.asked:
                    report.stops(workers.busy())
                elif queue:
                    for worker in workers.waiting():
                        begin_next(worker)
                for task, kind, value in workers.wait(TICK):
                    ended(task, kind, value)
    finally:
        workers.close()
        for names in at_risk.values():
            remove_leftovers(options.output, names, options.save_stages)
    return not queue


def _prepare(job):
    """Makes the folders of a job's pictures; why it cannot be begun, or None."""
    try:
        for target in job.targets.values():
            target.parent.mkdir(parents=True, exist_ok=True)
        refuse_existing(job)
    except (ValueError, OSError) as error:
        return explain(error, job.photo)
    return None
