"""How hostile programs are tried, and when one has got through."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.kernels.collect import _BINARY_TYPES, _TEXT_TYPES
from workbench.kernels.session import KernelSession
from workbench.observation import Observation

from ..tools import dead, disk_use, eventually, everything, holdings, memory_growth, processes_with, text_of, told
from .arena import LIMITS, MIB, Arena
from .attack import Attack
from .prelude import FORGED

HUGE = 10 * 2**30
SHOWN = {*_TEXT_TYPES, *_BINARY_TYPES}


async def still_works(session: KernelSession) -> None:
    """Fail unless the next cell runs, or the kernel is found dead, said to be, and the one after that runs."""
    observation = await session.execute("1 + 1", timeout=30)
    if observation.state_lost:
        assert observation.note
        observation = await session.execute("1 + 1", timeout=30)
    assert (observation.status, text_of(observation, "result")) == ("ok", "2"), told(observation)


def nothing_got_through(observation: Observation, canary: str) -> None:
    """Fail if a program that prints what came of each of its tries got anything, or could not even try."""
    shown = text_of(observation, "stdout")
    assert observation.status == "ok", told(observation)
    assert canary not in everything(observation), told(observation)
    broken = [line[:200] for line in shown.splitlines() if line.startswith("BROKEN")]
    assert not broken
    through = [line[:200] for line in shown.splitlines() if line.startswith("THROUGH")]
    assert not through, f"{len(through)} got through: {through[:12]}"
    assert "refused" in shown, told(observation)


async def refused(arena: Arena, attack: Attack) -> None:
    """Every try has to fail."""
    await _refused(arena, attack, arena.attacker)


async def refused_at_first(arena: Arena, attack: Attack) -> None:
    """Every try has to fail, in a kernel in which nothing else has been tried: earlier programs leave descriptors open."""
    async with arena.fresh() as session:
        await _refused(arena, attack, session)


async def _refused(arena: Arena, attack: Attack, attacker: KernelSession) -> None:
    observation = await attacker.execute(arena.prelude() + attack.code, timeout=attack.timeout)
    nothing_got_through(observation, arena.host.canary)
    for port in re.findall(r"^SERVING (\d+)$", text_of(observation), re.MULTILINE):
        with socket.socket() as visitor:
            assert visitor.connect_ex(("127.0.0.1", int(port))) != 0, "the host can reach a server of the agent's"


async def harmless(arena: Arena, attack: Attack) -> None:
    """It may do what it does: whether anything came of it is seen by whoever is outside."""
    observation = await arena.attacker.execute(arena.prelude() + attack.code, timeout=attack.timeout)
    assert arena.host.canary not in everything(observation), told(observation)
    assert re.search(attack.told, everything(observation)), told(observation)


async def held(arena: Arena, attack: Attack) -> None:
    """It gets no more than a limit, or is ended, and either is said."""
    with memory_growth() as growth:
        observation = await arena.attacker.execute(attack.code, timeout=attack.timeout)
    assert observation.status != "ok" or re.search(attack.told, text_of(observation)), told(observation)
    assert re.search(attack.told, everything(observation)), told(observation)
    assert growth.bytes < HUGE / 40


async def starved(arena: Arena, attack: Attack) -> None:
    """However much it takes, its victims can still do what they do."""
    async with arena.fresh() as session:
        observation = await session.execute(attack.code)
        assert re.search(attack.told, everything(observation)), told(observation)
        for victim in arena.victims:
            found = await victim.execute(
                "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(\"runs\")'], capture_output=True, text=True).stdout"
            )
            assert "runs" in text_of(found), told(found)


TAKE = """
import signal
def take():
    taken = 0
    try:
        while taken < 100_000:
            one()
            taken += 1
    except OSError:
        pass
    return taken
total = 0
for _ in range(40):
    heard, told = os.pipe()
    if os.fork() == 0:
        os.write(told, str(take()).encode())
        signal.pause()
    os.close(told)
    taken = int(os.read(heard, 100))
    os.close(heard)
    total += taken
    if not taken:
        break
print('took', total)
"""
"""Takes all there is, in as many processes as it needs, and keeps it."""

GET = """
got = 0
try:
    for _ in range(3):
        one()
        got += 1
except OSError:
    pass
print(got)
"""


async def drained(arena: Arena, attack: Attack) -> None:
    """Whatever it takes of what the system counts, its victims and the host get what they got before."""

    program = attack.code + GET
    code = f"import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', {program!r}], capture_output=True, text=True).stdout)"

    async def got() -> list[str]:
        host = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return [host.stdout.strip(), *[text_of(await victim.execute(code), "stdout").strip() for victim in arena.victims]]

    before = await got()
    assert before[0] == "3"
    async with arena.fresh() as session:
        observation = await session.execute(attack.code + TAKE)
        assert re.search(attack.told, text_of(observation)), told(observation)
        assert await got() == before


async def flooded(arena: Arena, attack: Attack) -> None:
    """Whatever it sends, neither this process's memory nor what is kept of it grows beyond a bound."""
    with memory_growth() as growth:
        observation = await arena.attacker.execute(attack.code, timeout=2)
    assert growth.bytes < HUGE / 16, f"{growth.bytes / MIB:.0f} MiB | {told(observation)[-500:]}"
    assert len(everything(observation)) < 16 * MIB


async def flooded_behind_the_back(arena: Arena, attack: Attack) -> None:
    """A thread that no interrupt stops sends 2400 MiB: it is held up, or what it sends is passed over."""
    async with arena.fresh() as session:
        with memory_growth() as growth:
            observation = await session.execute(attack.code, timeout=attack.timeout)
            # what nobody asks for stays with the kernel; what the next cell asks for is bounded like any output
            second = await session.execute("'second'", timeout=attack.timeout)
        assert growth.bytes < 300 * 8 * MIB / 4, f"{growth.bytes / MIB:.0f} MiB | {told(observation)[-500:]}"
        assert len(everything(second)) < 16 * MIB


async def late(arena: Arena, attack: Attack) -> None:
    """What is sent between two cells is no output of the second."""
    async with arena.fresh() as session:
        await session.execute(attack.code)
        observation = await session.execute("go.set()\n'mine'")
        assert text_of(observation, "result") == "'mine'", told(observation)


async def filled(arena: Arena, attack: Attack) -> None:
    """A program that fills the disk is ended and told so."""
    async with arena.fresh() as session:
        # stopped by hand once it took thirty times what it may have: a failing test must not fill the disk either
        most, taken = 30 * LIMITS.workspace_bytes, (0, 0)
        stopped = asyncio.Event()

        async def guard() -> None:
            nonlocal taken
            while taken[0] < most:
                taken = await asyncio.to_thread(disk_use, [session.workspace, *holdings(session)[:1]])
            stopped.set()
            session.cancel()

        guarding = asyncio.ensure_future(guard())
        try:
            observation = await session.execute(attack.code)
        finally:
            guarding.cancel()
        assert not stopped.is_set(), f"took {taken[0] / MIB:.0f} MiB in {taken[1]} files | {told(observation)}"
        if observation.status == "ok":
            # quick enough to be done before anybody looked; it is found out all the same
            assert await eventually(lambda: dead(session))
            observation = await session.execute("1 + 1")
        assert observation.status in ("died", "error"), told(observation)
        assert re.search("workspace limit|No space left|limit of", everything(observation)), told(observation)
        await still_works(session)


DAEMON = """
import contextlib, ctypes, fcntl, os, signal, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
# held by whoever lives of this family, however often it forks
fcntl.flock(os.open('alive', os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_EX)
print(1, flush=True)
{body}
while True: signal.pause()
"""


def lives(workspace: Path) -> bool:
    """Whether a daemon of ``workspace`` is alive."""
    with (workspace / "alive").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def outlived(arena: Arena, attack: Attack) -> None:
    """A child that does all it can to stay is gone when its kernel has died, and when its session is closed."""
    marker = f"daemon-{os.urandom(8).hex()}"
    start = (
        f"import subprocess, sys\ncode = {DAEMON.format(body=attack.code)!r}\n"
        f"made = subprocess.Popen([sys.executable, '-c', code, {marker!r}], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "made.stdout.readline()"
    )
    async with arena.fresh() as session:
        held = holdings(session)
        try:
            for _ in ("its kernel dies", "its session is closed"):
                observation = await session.execute(start)
                assert observation.status == "ok", told(observation)
                # a family of forks may have been killed for that already
                assert lives(session.workspace) or "fork" in attack.code
                if session.provisioner.folder in held:
                    observation = await session.execute("import os\nos.kill(os.getpid(), 9)")
                    assert observation.state_lost, told(observation)
                    assert not lives(session.workspace)
                    held += holdings(session)
                    await still_works(session)
            assert held[-1].exists()
            await session.close()
            assert not lives(session.workspace)
            assert not [folder for folder in held if folder.exists()]
        finally:
            (session.workspace / "stop").touch()
            await session.close()
            while left := processes_with(marker):
                for process in left:
                    process.kill()
            for folder in held[1:]:
                with contextlib.suppress(OSError):
                    folder.rmdir()


async def forged(arena: Arena, attack: Attack) -> None:
    """Messages that a kernel should not send: this process goes on, and so does the session."""
    async with arena.fresh() as session:
        with memory_growth() as growth:
            observation = await session.execute(arena.prelude() + FORGED + attack.code, timeout=5)
        assert Observation.model_validate_json(everything(observation)) == observation
        assert "\x1b" not in text_of(observation)
        assert growth.bytes < HUGE / 16
        # a kernel that broke itself may need one cell to be found dead; the next one runs
        second = await session.execute("'second'", timeout=5)
        if text_of(second, "result") != "'second'":
            assert second.state_lost or second.status != "ok", told(second)
        third = await session.execute("6 * 7", timeout=30)
        assert (third.status, text_of(third, "result")) == ("ok", "42"), f"{told(observation)} || {told(second)} || {told(third)}"


async def displayed(arena: Arena, attack: Attack) -> None:
    """What is shown is text without escapes, or a picture, or markup that is known to be markup; never anything that runs."""
    observation = await arena.attacker.execute(attack.code, timeout=attack.timeout)
    assert observation.status == "ok", told(observation)
    assert observation.outputs
    assert {kind for output in observation.outputs for kind in output.data} <= SHOWN
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "".join(output.text for output in observation.outputs))
    assert re.search(attack.told, everything(observation)), told(observation)


async def pulled(arena: Arena, attack: Attack) -> None:
    """A value that is not what its format says is an error that says so, whatever the kernel answers."""
    async with arena.fresh() as session:
        observation = await session.execute(arena.prelude() + attack.code)
        assert observation.status == "ok", told(observation)
        with memory_growth() as growth:
            try:
                got = await session.pull("trap")
            except WorkbenchError as error:
                assert arena.host.canary not in str(error)
            else:
                raise AssertionError(f"got {got!r}"[:500])
        assert growth.bytes < HUGE / 40
        await still_works(session)


async def branched(arena: Arena, attack: Attack) -> None:
    """A kernel that lies when it is to be branched is not branched, or the branch runs; this process is none the worse."""
    async with arena.fresh() as session:
        observation = await session.execute(arena.prelude() + attack.code)
        assert observation.status == "ok", told(observation)
        with memory_growth() as growth, contextlib.suppress(WorkbenchError):
            branch = await session.fork()
            try:
                await branch.execute("1 + 1", timeout=10)
                assert len(branch.branched.model_dump_json()) < MIB
            finally:
                await branch.close()
                await asyncio.to_thread(arena.remove, branch.workspace)
        assert growth.bytes < HUGE / 40
        await still_works(session)
