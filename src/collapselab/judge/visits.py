"""Simulated judges at the page: they come by their links, and do over HTTP all that people do."""

import io
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ..core.seeds import seed_of, uniforms
from ..select.judging import BAD, GOOD
from ..select.simulated import Simulated
from .eyes import Eyes, name_of
from .policies import Turn, chance_in_training, chance_of_good

if TYPE_CHECKING:
    from httpx2 import Client, Response

MOST_ATTEMPTS = 200  # at the training screen
MOST_TRIES = 20  # of a request, while the server is away
TOO_LATE = 409  # what is asked for was done, or cannot be done any more
PATIENCE_SECONDS = 0.05  # before the second try, doubled before each further one up to two seconds
INCLINED = "inclined"  # the question whether one is less inclined now to post generated data


class Link(NamedTuple):
    """Somebody's way in. token: the last part of the link; url: where the page is."""

    code: str
    url: str
    token: str


class Visit(NamedTuple):
    """What one judge did. stage: where they stood at the end."""

    code: str
    judged: int
    attempts: int
    surveyed: bool
    stage: str


def links_of(lines: Iterable[str]) -> list[Link]:
    """The links of ``collapselab judge invite``: the words of a line, of which the first is the code and the last the
    link. Raises ValueError for a line that has none.
    """
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        parts = urlsplit(words[-1])
        if parts.scheme not in ("http", "https") or not parts.path.strip("/"):
            raise ValueError(f"line {number}: found {line.strip()[:80]!r}; a code and a link are expected in it")
        token = parts.path.rstrip("/").rpartition("/")[2]
        found.append(Link(words[0], f"{parts.scheme}://{parts.netloc}", token))
    if not found:
        raise ValueError("links: found none; collapselab judge invite prints them")
    return found


class Page:
    """The page as one judge reaches it.

    What a server that is away does not answer is asked again, the same way; it may have been done at the first time.
    """

    def __init__(self, link: Link, client: "Client"):
        self.link, self.client = link, client
        self.headers = {"Authorization": f"Bearer {link.token}"}

    def get(self, path: str) -> Any:
        """What the page says."""
        return self._asked("GET", path).json()

    def image(self, path: str) -> np.ndarray:
        """An image as the page serves it: (C, H, W) uint8."""
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(self._asked("GET", path).content)))
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)

    def post(self, path: str, said: Mapping[str, Any]) -> Any:
        """Tell the page something; what it answers, and nothing where it says at a further try that it is too late:
        then it heard the first one, and where the judge stands says the state.
        """
        answer = self._asked("POST", path, said)
        return None if answer.status_code == TOO_LATE else answer.json()

    def _asked(self, verb: str, path: str, said: Mapping[str, Any] | None = None) -> "Response":
        from httpx2 import TransportError

        wait = PATIENCE_SECONDS
        for attempt in range(MOST_TRIES):
            try:
                answer = self.client.request(verb, self.link.url + path, json=said, headers=self.headers)
            except TransportError as error:
                failed = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code < 500:
                    break
                failed = f"HTTP {answer.status_code}"
            if attempt < MOST_TRIES - 1:
                time.sleep(wait)
            wait = min(2 * wait, 2.0)
        else:
            raise ValueError(f"{self.link.url}: no answer to {verb} {path} in {MOST_TRIES} tries: {failed}")
        if answer.status_code >= 400 and not (attempt and answer.status_code == TOO_LATE):
            raise ValueError(
                f"{self.link.url}: {self.link.code}: {verb} {path}: {answer.status_code} {said_by(answer)}"
            )
        return answer


def said_by(answer: "Response") -> str:
    """The reason that the page gives."""
    try:
        return str(answer.json().get("error", answer.text))[:300]
    except ValueError:
        return answer.text[:300]


# -- what a judge does -------------------------------------------------------------------------------------------------


class Simulation(NamedTuple):
    """A judge that only seems to be one. seed: of all that is decided by chance."""

    judge: Simulated
    eyes: Eyes
    seed: int


def visit(page: Page, who: Simulation) -> Visit:
    """Do whatever is to be done now: consent, the training screen, every item, and the survey.

    Each answer hangs on the seed, on the image and on its place alone, so that a visit that was cut short goes on as it
    would have.
    """
    judged = attempts = 0
    surveyed = False
    while True:
        state = page.get("/api/state")
        stage = state["stage"]
        if stage == "consent":
            page.post("/api/consent", {"agrees": True})
        elif stage == "training":
            attempts = _train(page, who)
        elif stage == "judging":
            judged += _judge(page, who)
        elif stage == "finish":
            page.post("/api/finish", {})
        elif stage == "survey":
            _answer_survey(page, who)
            surveyed = True
        else:
            return Visit(state["code"], judged, attempts, surveyed, stage)


def _train(page: Page, who: Simulation) -> int:
    """One attempt at the training screen; its number. Raises ValueError when so many failed that none will pass."""
    asked = page.get("/api/training")
    attempt, questions = asked["attempt"], asked["questions"]
    if attempt > MOST_ATTEMPTS:
        raise ValueError(
            f"{page.link.code}: has failed at the training screen {MOST_ATTEMPTS} times; judges of this kind "
            f"do not pass: lower the gate, or let it be (training: false)"
        )
    draws = uniforms(seed_of(who.seed, None, attempt, "training"), 0, len(questions), 1)[:, 0]
    answers = {
        one["id"]: _word(draw < chance_in_training(who.judge, who.eyes.look(page.image(one["image"]))))
        for one, draw in zip(questions, draws.tolist(), strict=True)
    }
    page.post("/api/training", {"attempt": attempt, "answers": answers})
    return attempt


def _word(good: bool) -> str:
    return GOOD if good else BAD


def _judge(page: Page, who: Simulation) -> int:
    """Judge every item of a round that is left; how many those were."""
    told, count = page.get("/api/next"), 0
    while (item := told["next"]) is not None:
        image, turn = page.image(item["image"]), Turn(item["position"] - 1, item["of"])
        seen = who.eyes.look(image)
        draw, pause = uniforms(seed_of(who.seed, None, None, name_of(image), turn.place), 0, 1, 2)[0].tolist()
        judgement = {
            "item": item["id"],
            "answer": _word(draw < chance_of_good(who.judge, seen, turn)),
            "nonce": secrets.token_urlsafe(16),
            "seconds": round(0.5 + 3 * pause, 3),  # nobody waits so long, but people do
        }
        told = page.post("/api/judgements", judgement) or page.get("/api/next")
        count += 1
    return count


def _answer_survey(page: Page, who: Simulation) -> None:
    """Answer by lot, but for what the study says of them: judges that are none have no opinions."""
    asked = page.get("/api/survey")
    questions, scale = asked["questions"], asked["scale"]
    draws = uniforms(seed_of(who.seed, None, None, "survey"), 0, len(questions), 2)
    half, answers = len(scale) // 2, {}
    for name, (side, place) in zip(questions, draws.tolist(), strict=True):
        agrees = side < (who.judge.discouraged if name == INCLINED else 0.5)
        answers[name] = scale[half * agrees + int(place * half)]
    page.post("/api/survey", {"answers": answers})


def visits(links: Sequence[Link], who: Callable[[int], Simulation], at_once: int) -> list[Visit]:
    """All judges at the page, ``at_once`` of them at a time; what each did, in the order of the links.

    Raises ValueError without the extra ``judge``, where the page refuses somebody, and where it does not answer.
    """
    try:
        import httpx2
    except ImportError:
        raise ValueError("simulated judges ask for httpx2: pip install 'collapselab[judge]'") from None
    limits = httpx2.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    with (
        httpx2.Client(limits=limits, timeout=30.0, trust_env=False) as client,
        ThreadPoolExecutor(at_once) as crowd,
    ):
        return list(crowd.map(lambda index: visit(Page(links[index], client), who(index)), range(len(links))))
