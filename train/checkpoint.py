"""Training state on disk, by Orbax: the last two saves, each whole or not there."""

import base64
from pathlib import Path

import jax
import orbax.checkpoint as ocp


class StateFolder:
    """The folder of a run's saved states."""

    def __init__(self, path):
        self.path = Path(path).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self.path, options=options)

    def latest(self):
        """Step of the newest save, or None."""
        return self._manager.latest_step()

    def save(self, step, state, position, metrics):
        """Saves a pytree of arrays, the loader's position (bytes) and the best validation's numbers."""
        if self.latest() == step:
            return
        more = {"position": base64.b64encode(position).decode(), "metrics": metrics}
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), more=ocp.args.JsonSave(more))
        self._manager.save(step, args=args)

    def load(self, like):
        """The newest save: (state, position, metrics). ``like`` gives shapes and placement.

        Raises ``ValueError`` where the save is that of another model.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), more=ocp.args.JsonRestore())
        try:
            found = self._manager.restore(self.latest(), args=args)
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            expected = "expected the state of this experiment, got one of other networks, rules or optimiser"
            raise ValueError(f"{self.path}: {expected} ({reason})") from None
        return found["state"], base64.b64decode(found["more"]["position"]), found["more"]["metrics"]

    def close(self):
        """Waits for what is being written."""
        self._manager.close()
