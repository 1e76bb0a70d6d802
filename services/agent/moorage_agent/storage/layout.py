"""Where things lie under a node's data directory.

node.json                         the node's id
lock                              held by the one agent that uses the directory
blobs/ab/ab12…                    verified content, named by its SHA-256, read-only
partial/<key>                     bytes that are still arriving
quarantine/<key>.<n>              bytes that were not what their digest promised
artifacts/<artifact>/copy.json    what the copy consists of
artifacts/<artifact>/files/…      hard links to blobs, under the paths that engines expect
engines/<instance uid>/           state and log of one engine
"""

from pathlib import Path

from moorage_common.core.errors import FailedPrecondition


class Layout:
    """The paths under one data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.node_file = self.root / "node.json"
        self.lock_file = self.root / "lock"
        self.blobs = self.root / "blobs"
        self.partial = self.root / "partial"
        self.quarantine = self.root / "quarantine"
        self.artifacts = self.root / "artifacts"
        self.engines = self.root / "engines"

    def create(self) -> None:
        """Makes the directories that are missing. Others on the machine need not see into them.

        Raises:
            FailedPrecondition: The system does not let it.
        """
        for directory in (self.blobs, self.partial, self.quarantine, self.artifacts, self.engines):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise FailedPrecondition(
                    f"the data directory cannot be used: {error.strerror}",
                    remedy="Choose another one with --data-dir.",
                ) from error

    def blob(self, sha256: str) -> Path:
        """Where the content with this digest lies."""
        return self.blobs / sha256[:2] / sha256

    def artifact(self, artifact: str) -> Path:
        """The directory of an artifact's copy."""
        return self.artifacts / artifact
