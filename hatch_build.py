"""What a wheel holds beside the sources: the manual pages, and the commit that it was built from.

A wheel is mostly built from the source distribution, which has no commit of its own, so the file comes with that.
"""

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualHook(BuildHookInterface):
    """Adds the manual pages, at share/man/man1, and commit.txt."""

    def initialize(self, version, build_data):
        """Write the files to a temporary directory, from which the wheel takes them."""
        if version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)
        try:
            from rnn_cli.cli.manual import manual_pages
            from rnn_cli.cli.version import COMMIT_FILE, checked_out
        finally:
            sys.path.remove(self.root)
        self.folder = tempfile.TemporaryDirectory()
        if self.target_name == "wheel":
            seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0")) or (root / "CHANGELOG.md").stat().st_mtime
            date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
            for name, text in manual_pages(date).items():
                path = Path(self.folder.name) / name
                path.write_text(text, "utf-8")
                build_data["shared_data"][str(path)] = f"share/man/man1/{name}"
        if commit := checked_out(root):
            path = Path(self.folder.name) / COMMIT_FILE
            path.write_text(commit + "\n", "ascii")
            build_data["force_include"][str(path)] = f"rnn_cli/{COMMIT_FILE}"

    def finalize(self, version, build_data, artifact_path):
        """Remove the temporary files."""
        if hasattr(self, "folder"):
            self.folder.cleanup()
