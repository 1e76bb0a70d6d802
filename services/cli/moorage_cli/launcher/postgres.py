"""PostgreSQL from the wheel, as a child process on a loopback port.

    prepare()   programs found, data directory made (first time: initdb and roles), leftovers ended
    command()   what to run, for a supervisor
    is_ready()  the running server accepts connections
    start() / stop()   the same for who has no supervisor: tests, benchmarks

Files, in the `home` given to it::

    passwords.json   the roles' passwords, for the user who runs this alone
    data/            PostgreSQL's own, or a link to it: see `_data_directory`
    postgres.log     what start() catches of its output

Life cycle: a cluster is made in ``data.new`` and renamed, so a half-made one is never used. A kill -9
loses no commit: the next start recovers. A server left behind by a killed launcher is ended first.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from moorage_cli.launcher import pgurls
from moorage_cli.launcher.accounts import Account, can_traverse, database_account
from moorage_cli.launcher.command import Command
from moorage_cli.launcher.leash import leashed
from moorage_cli.launcher.pgbinaries import POSTGRES_MAJOR, SHARED_HOME, PostgresBinaries, find_binaries
from moorage_cli.launcher.processes import end_processes
from moorage_common.core.errors import ErrorReason, FailedPrecondition, Unavailable

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "80",
    # One machine, a few megabytes of records.
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    # No replicas and no archive: less to write, fewer processes.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers": "0",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}
# A commit still outlives the server; only the machine's crash may lose it.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

_START_DEADLINE_S = 60.0  # Recovery after a crash may take a while on a slow disk.
_STOP_GRACE_S = 10.0
_POLL_S = 0.02


class EmbeddedPostgres:
    """One PostgreSQL cluster and its server.

    Args:
        home: Directory for it; made when missing.
        port: Loopback port to listen on.
        durable: Whether a commit survives a crash of the *machine*. Tests can do without, and are faster.
    """

    def __init__(self, home: Path, *, port: int, durable: bool = True) -> None:
        self._home = home.absolute()
        self._port = port
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._home.mkdir(parents=True, exist_ok=True)
        self._passwords_path = self._home / "passwords.json"
        self._account = database_account(self._home / "data")
        self.data_dir = _data_directory(self._home, self._account)

    @property
    def note(self) -> str:
        """What the user should know about where the data is; empty when it is where one expects it."""
        if self.data_dir.parent == self._home or self._account is None:
            return ""
        return (
            f"user '{self._account.name}', who runs PostgreSQL for root, cannot reach {self._home};"
            f" its data is in {self.data_dir}"
        )

    @property
    def urls(self) -> pgurls.PostgresUrls:
        """The addresses to connect to; they stay the same from start to start."""
        return pgurls.urls_for(pgurls.load_passwords(self._passwords_path), self._port)

    def prepare(self) -> None:
        """Makes everything ready for the server to start. Call it before every start; it blocks.

        Raises:
            FailedPrecondition: No PostgreSQL, another major version's data, or no right to use the directory.
        """
        binaries = find_binaries(self._account)
        end_leftovers(self.data_dir)
        if not (self.data_dir / "PG_VERSION").exists():
            self._create_cluster(binaries)
        elif not self._passwords_path.exists():
            raise FailedPrecondition(
                f"there is a database in {self.data_dir}, and its passwords are gone",
                reason=ErrorReason.DATABASE_UNAVAILABLE,
                remedy=f"Restore {self._passwords_path}, or remove the database to begin anew.",
            )
        version = (self.data_dir / "PG_VERSION").read_text().strip()
        if version != str(POSTGRES_MAJOR):
            raise FailedPrecondition(
                f"{self.data_dir} was made by PostgreSQL {version}, and this is {POSTGRES_MAJOR}",
                reason=ErrorReason.DATABASE_UNAVAILABLE,
                remedy="Dump it with the old version and load it into a new data directory.",
            )

    def command(self) -> Command:
        """Returns what runs the server in the foreground, logging to stderr."""
        settings = {**_SETTINGS, "port": str(self._port), **({} if self._durable else _NOT_DURABLE)}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return Command(
            argv=(str(find_binaries(self._account).postgres), "-D", str(self.data_dir), *flags),
            env={"LC_ALL": "C", "PATH": os.defpath},
            cwd=self.data_dir,
            account=self._account,
            stop_signal=signal.SIGINT,  # Fast shutdown: ends connections rather than waiting for them.
        )

    def is_ready(self, pid: int) -> bool:
        """Whether the server that runs as process `pid` accepts connections."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # The server keeps its process id in line 1 and its status in line 8 of this file.
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def start(self) -> pgurls.PostgresUrls:
        """Starts the server and waits until it accepts connections. Call it from the main thread.

        Raises:
            FailedPrecondition: See `prepare`.
            Unavailable: It did not start; the message has its last words.
        """
        self.prepare()
        command = self.command()
        account = command.account
        argv = leashed(
            command.argv,
            death_signal=command.stop_signal,
            uid=account.uid if account else None,
            gid=account.gid if account else None,
        )
        log_path = self._home / "postgres.log"
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                argv, env=dict(command.env), cwd=command.cwd, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_DEADLINE_S
        while not self.is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise _did_not_start(log_path.read_text(errors="replace"))
            time.sleep(_POLL_S)
        return self.urls

    def stop(self) -> None:
        """Stops the server that `start` started; nothing to do is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _create_cluster(self, binaries: PostgresBinaries) -> None:
        staging = self.data_dir.with_suffix(".new")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(staging, self._account.uid, self._account.gid)
        passwords = pgurls.load_passwords(self._passwords_path)
        self._initdb(binaries, staging, passwords[pgurls.SUPERUSER])
        single = ("--single", "-F", "-c", "exit_on_error=true", "-D", str(staging), "template1")
        self._run_once([str(binaries.postgres), *single], cwd=staging, stdin=pgurls.bootstrap_sql(passwords))
        if self._durable:
            os.sync()
        staging.rename(self.data_dir)

    def _initdb(self, binaries: PostgresBinaries, target: Path, password: str) -> None:
        # A deterministic locale, whatever the machine's is; scram everywhere, trust nowhere.
        options = (
            "--encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
            f" --auth=scram-sha-256 --username={pgurls.SUPERUSER}"
            " --no-instructions --no-sync"  # _create_cluster syncs once, at the end.
        )
        with tempfile.NamedTemporaryFile("w") as password_file:
            password_file.write(f"{password}\n")
            password_file.flush()
            if self._account is not None:
                os.chown(password_file.name, self._account.uid, self._account.gid)
            argv = [str(binaries.initdb), "-D", str(target), *options.split()]
            self._run_once([*argv, f"--pwfile={password_file.name}"], cwd=target)

    def _run_once(self, argv: list[str], *, cwd: Path, stdin: str = "") -> None:
        account = self._account
        try:
            result = subprocess.run(
                argv,
                input=stdin,
                text=True,
                capture_output=True,
                check=False,
                cwd=cwd,
                env={"LC_ALL": "C", "PATH": os.defpath},
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except PermissionError as error:
            whom = account.name if account else os.geteuid()
            raise FailedPrecondition(
                f"cannot run PostgreSQL as user '{whom}': {error.strerror}",
                reason=ErrorReason.DATABASE_UNAVAILABLE,
                remedy="Run as an ordinary user, or point MOORAGE_DATABASE_URL to a PostgreSQL server.",
            ) from error
        if result.returncode != 0:
            raise _did_not_start(result.stderr)


def end_leftovers(data_dir: Path) -> None:
    """Ends a server that still runs on `data_dir`, and removes the lock file that a killed one left.

    Our own launcher's lock says that nobody else may run one there.
    """
    leftovers = [process for process in psutil.process_iter() if _works_in(process, data_dir)]
    end_processes(leftovers, stop_signal=signal.SIGINT, grace_s=_STOP_GRACE_S)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Whether it is a PostgreSQL of that data directory: the server and its children all work in it."""
    try:
        return Path(process.cwd()) == directory.resolve() and "postgres" in process.name()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _data_directory(home: Path, account: Account | None) -> Path:
    """Returns where the cluster lives: ``home/data``, unless PostgreSQL's user cannot get there.

    Root's own directories are often closed to everybody else (``/root`` is 0700); opening them would be
    none of our business. Then the cluster gets a directory below `SHARED_HOME`, and ``home/data`` is a link
    to it: who removes `home` and begins anew gets a new cluster, too.
    """
    link = home / "data"
    if link.is_symlink() and link.readlink().parent.is_dir():
        return link.readlink()
    if account is None or can_traverse(home, account):
        return link
    try:
        SHARED_HOME.mkdir(parents=True, exist_ok=True)
        elsewhere = Path(tempfile.mkdtemp(prefix="data-", dir=SHARED_HOME))
        # Whatever the umask: PostgreSQL's user passes through both, and reads neither.
        for directory in (SHARED_HOME, elsewhere):
            directory.chmod(0o711)
        link.unlink(missing_ok=True)
        link.symlink_to(elsewhere / "data")
    except OSError as error:
        raise FailedPrecondition(
            f"user '{account.name}', who runs PostgreSQL for root, cannot reach {home}, "
            f"and nothing can be made in {SHARED_HOME}: {error.strerror}",
            reason=ErrorReason.DATABASE_UNAVAILABLE,
            remedy="Choose a data directory that this user can reach, or run as an ordinary user.",
        ) from error
    return elsewhere / "data"


def _did_not_start(output: str) -> Unavailable:
    last_words = [line for line in output.splitlines() if line.strip()][-3:]
    return Unavailable(
        "PostgreSQL did not start: " + (" | ".join(last_words) or "it said nothing"),
        reason=ErrorReason.DATABASE_UNAVAILABLE,
        remedy="Its log says more. A server of your own can be given in MOORAGE_DATABASE_URL.",
    )
