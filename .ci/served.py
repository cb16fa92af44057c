"""`hubwire emulator` as a process, for scripts: up, down, up again on the same port, and what it holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HUBWIRE = TARGET / "debug/hubwire"


def call(*args, **more):
    """Runs a command that has to work; what it prints, if that is asked for."""
    done = subprocess.run([str(arg) for arg in args], cwd=ROOT, text=True, **more)
    if done.returncode:
        sys.exit(f"failed with {done.returncode}: {' '.join(map(str, args))}\n{done.stdout or ''}{done.stderr or ''}")
    return done.stdout


def build_hubwire():
    call("cargo", "build", "--quiet", "--locked", "--all-features", "--bin", "hubwire")


class Emulator:
    """With one event hub, `telemetry`, and whatever else its options say. Its memory is touched as events come: they are few."""

    def __init__(self, *options, program=HUBWIRE):
        self.command = [program, "emulator", "--event-hub", "telemetry", "--pretouch", "0", "--json", *options]
        self.process = None
        self.port = 0

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def up(self):
        command = [str(part) for part in (*self.command, "--listen", f"127.0.0.1:{self.port}")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = line = self.process.stderr.readline()
        while line and '"event":"ready"' not in line:
            line = self.process.stderr.readline()
            said += line
        if not line:
            sys.exit(f"no emulator: {said}")
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])

    def down(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
            self.process = None

    def connection_string(self, entity_path=None):
        text = (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true"
        )
        return text if entity_path is None else f"{text};EntityPath={entity_path}"

    def environment(self, **more):
        """This process' own, and the way to the hub."""
        return {**os.environ, "CONNECTION_STR": self.connection_string(), "EVENTHUB_NAME": "telemetry", **more}

    def events(self):
        """The bodies that the hub holds, partition by partition."""
        told = call(HUBWIRE, "receive", "--quiet", env=self.environment(), stdout=subprocess.PIPE)
        return told.splitlines()
