"""What one worker of a batch does, whether a process or an actor of Ray: one photo at a time, from file to files."""

import hashlib
import os
import platform

from modisp_jax.describe import explain
from modisp_jax.render_files import open_session, render_jobs


def open_worker(options):
    """The worker's session; it shares the machine's accelerator with others, and so takes memory as it needs it."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return open_session(options)


def name_of_worker(kind):
    """How the manifest names this process."""
    return f"{kind} {os.getpid()} on {platform.node()}"


def render_job(job, session):
    """Renders a photo by the function that ``modisp render`` uses, and waits until its pictures are on the disk.

    Returns:
      ("done", {path relative to the output: {"size", "sha256", "mtime_ns"}}) or ("failed", reason in one line).
    """
    errors = []
    render_jobs([job], session, lambda _, error: errors.append(error), say=lambda _: None)
    try:
        if errors:
            return "failed", explain(errors[0], job.photo)
        output = session.options.output
        return "done", {path.relative_to(output).as_posix(): on_disk(path) for path in job.targets.values()}
    except OSError as error:
        return "failed", explain(error, job.photo)


def on_disk(path):
    """Size, SHA-256 and time of a file, once it has reached the disk."""
    with open(path, "r+b") as file:  # for writing, which Windows wants for fsync
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        about = os.fstat(file.fileno())
    return {"size": about.st_size, "sha256": digest, "mtime_ns": about.st_mtime_ns}
