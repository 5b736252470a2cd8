"""The CodeAct agent: its actions are Python (Executable Code Actions Elicit Better LLM Agents, arXiv 2402.01030)."""

from __future__ import annotations

from importlib import resources

from workbench.agents import show
from workbench.agents.base import World
from workbench.agents.notes import PYTHON_TOOL, Notes
from workbench.agents.replies import Action, parse_reply
from workbench.messages import Message, Reply, Tool
from workbench.observation import Observation

EXECUTE = Tool(
    name=PYTHON_TOOL,
    description="Run Python code in the task's Jupyter kernel and see what it shows. Variables are kept between calls.",
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The code to run."}},
        "required": ["code"],
        "additionalProperties": False,
    },
)


class CodeAct:
    """Asks, runs the code of the reply, shows what it did, and asks again until the model says it is done.

    Parameters
    ----------
    offer_tool : bool
        Offer the tool ``execute_python`` and ask for it. Whatever is asked for, fenced blocks, ``<execute>`` tags and
        tool calls are all understood.

    Examples
    --------
    >>> CodeAct().name
    'codeact'
    """

    def __init__(self, *, offer_tool: bool = False) -> None:
        self.name = "codeact-tool" if offer_tool else "codeact"
        self._tools = [EXECUTE] if offer_tool else []

    async def work(self, world: World) -> str | None:
        """Work until the model gives an answer or says that the submission is ready."""
        messages = [Message(role="system", text=self._system(world)), Message(role="user", text=world.instruction)]
        say = Notes(tool=bool(self._tools), done=not world.needs_answer)
        reminded = False
        while True:
            reply = await world.ask(messages, self._tools)
            parsed = parse_reply(reply, say)
            messages.append(Message(role="assistant", text=reply.text, tool_calls=reply.tool_calls))
            notes = list(parsed.notes)
            seen: list[tuple[Action, Observation]] = []
            for action in parsed.actions:
                observation = await world.execute(action.code, action.source, len(seen))
                seen.append((action, observation))
                if observation.status != "ok":
                    # what follows was written in the belief that this works
                    if skipped := len(parsed.actions) - len(seen):
                        notes.append(f"the code after the error was not run ({skipped} more)")
                    break
            finished = parsed.done or parsed.answer is not None
            if finished and seen and seen[-1][1].status != "ok":
                notes.append(say.failed)
                finished = False
            if finished and world.needs_answer and parsed.answer is None:
                notes.append(say.answer_needed)
                finished = False
            if finished and parsed.answer is not None and world.try_answer is not None:
                wrong = await world.try_answer(parsed.answer)
                if wrong is not None:
                    notes.append(wrong)
                    finished = False
            if finished and not reminded and world.has_steps_left and (missing := await world.missing()):
                notes.append(say.nothing_handed_in(missing))
                reminded, finished = True, False
            world.end_step(notes)
            if finished:
                return parsed.answer
            messages += self._observed(world, reply, seen, notes)

    def _system(self, world: World) -> str:
        import jinja2

        template = resources.files("workbench.agents").joinpath("prompts/codeact.md.j2").read_text(encoding="utf-8")
        text: str = jinja2.Template(template, undefined=jinja2.StrictUndefined).render(
            tool=bool(self._tools),
            packages=world.packages,
            network=world.network,
            steps=world.limits.steps,
            minutes=round(world.limits.seconds / 60) or 1,
            cell_seconds=round(world.kernel.cell_seconds),
            submission=world.submission,
            needs_answer=world.needs_answer,
        )
        return text

    def _observed(self, world: World, reply: Reply, seen: list[tuple[Action, Observation]], notes: list[str]) -> list[Message]:
        """Return the messages that tell the model what its reply did; every tool call gets its own answer."""
        told = "\n".join(f"[note: {note}]" for note in notes)
        progress = f"[step {world.spent.steps} of {world.limits.steps} is done]"
        sees = world.model.sees_images
        texts = [(action, show.as_text(observation, sees_images=sees, size=show.TEXT_SIZE // len(seen))) for action, observation in seen]
        pictures = [image for _, observation in seen for image in show.images(observation)] if sees else []
        messages = []
        for call in reply.tool_calls:
            answers = [text for action, text in texts if action.call_id == call.id]
            messages.append(Message(role="tool", tool_call_id=call.id, text="\n".join(answers) or "(not run)"))
        rest = [text for action, text in texts if action.call_id is None]
        numbered = [f"Observation {place}:\n{text}" if len(rest) > 1 else f"Observation:\n{text}" for place, text in enumerate(rest, 1)]
        text = "\n".join(part for part in [*numbered, told, progress] if part)
        return [*messages, Message(role="user", text=text, images=pictures)]
