"""Classes on disk: who teaches, who takes part, and what they answered, in `classes.sqlite` of a store.

A learner is known by a number that is drawn for the class. Their cookie stands beside it, so that one browser counts
once, and is never told. Every method is one transaction of a fifth of a millisecond.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from steering.errors import InputError, NotFound
from steering.jobs.index import is_damage, set_aside_if_damaged, worded

FILE = "classes.sqlite"
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of codes: none that is read as another one."""
CODE_LENGTH = 9
"""31 ** 9 codes: at a thousand guesses a second, one of a thousand classes is found in 400 years."""
KEEP_S = 30 * 24 * 3600.0
"""How long a class stays after it was last used."""
MOST_CLASSES = 1000
MOST_OF_A_TEACHER = 20
MOST_LEARNERS = 300
MOST_ANSWERS = {"prediction": 30, "vote": 100, "run": 40}
"""Kind of answer -> how many of one learner are kept."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS classes (
    code TEXT PRIMARY KEY, title TEXT NOT NULL, teacher TEXT NOT NULL, party TEXT NOT NULL, secret TEXT NOT NULL,
    used_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS learners (
    code TEXT NOT NULL, owner TEXT NOT NULL, number INTEGER NOT NULL, since_s REAL NOT NULL,
    PRIMARY KEY (code, owner), UNIQUE (code, number));
CREATE INDEX IF NOT EXISTS of_owner ON learners (owner);
CREATE TABLE IF NOT EXISTS answers (
    code TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL,
    found TEXT NOT NULL, final INTEGER NOT NULL, at_s REAL NOT NULL, PRIMARY KEY (code, number, kind, question));
"""
NO_CLASS = "There is no such class here; it may have ended. Ask your teacher for a new link."
NOT_TEACHER = "This class is somebody else's. Its teacher sees it in the browser that made it, or by its secret."

DAMAGED = (
    f"The list of classes was damaged and has been set aside ({FILE}.damaged-… in the store). Make a new class and "
    "send its link."
)


@dataclass(frozen=True)
class Entry:
    """A class as it is kept. learners: how many; used_s: when it was last used, in seconds since the epoch."""

    code: str
    title: str
    teacher: str
    learners: int
    used_s: float


@dataclass(frozen=True)
class Answer:
    """What learner `number` answered. kind: prediction, vote or run; found: what their data said; at_s: when."""

    number: int
    kind: str
    question: str
    answer: str
    found: str
    at_s: float


class ClassBook:
    """The classes of the store at `root`."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE

    def make(self, title: str, teacher: str, party: str) -> tuple[str, str]:
        """A new class; its code and its secret. Raises InputError where a teacher, their party or the server has too
        many.
        """
        code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        secret = secrets.token_hex(16)
        with self._open(make=True) as db:
            own = db.execute("SELECT count(*) FROM classes WHERE teacher=? OR party=?", (teacher, party)).fetchone()[0]
            if own >= MOST_OF_A_TEACHER:
                raise InputError(f"You have {own} classes, the most at a time. Close one that is over.")
            if db.execute("SELECT count(*) FROM classes").fetchone()[0] >= MOST_CLASSES:
                raise InputError("This server holds as many classes as it can. Try again when others have ended.")
            row = (code, title, teacher, party, _digest(secret), time.time())
            db.execute("INSERT INTO classes VALUES (?, ?, ?, ?, ?, ?)", row)
        return code, secret

    def taught(self, teacher: str) -> list[Entry]:
        """The classes of a teacher, the last used first."""
        with self._open() as db:
            rows = db.execute("SELECT code FROM classes WHERE teacher=? ORDER BY used_s DESC", (teacher,)).fetchall()
            return [_entry(db, code) for (code,) in rows]

    def entry(self, code: str) -> Entry:
        """A class. Raises NotFound where there is none."""
        with self._open() as db:
            return _entry(db, code)

    def teaches(self, code: str, teacher: str, secret: str = "") -> Entry:
        """A class, for its teacher or whoever knows its secret. Raises InputError for anybody else."""
        with self._open() as db:
            found = _entry(db, code)
            kept = db.execute("SELECT secret FROM classes WHERE code=?", (code,)).fetchone()[0]
        if found.teacher != teacher and not (secret and hmac.compare_digest(kept, _digest(secret))):
            raise InputError(NOT_TEACHER)
        return found

    def join(self, code: str, owner: str) -> float:
        """Let `owner` take part; since when they do, in seconds since the epoch. Raises InputError where it is full."""
        with self._open(write=True) as db:
            found = _entry(db, code)
            known = db.execute("SELECT since_s FROM learners WHERE code=? AND owner=?", (code, owner)).fetchone()
            if known:
                return float(known[0])
            if found.learners >= MOST_LEARNERS:
                raise InputError(f"This class has {MOST_LEARNERS} learners, the most. Its teacher can make a second.")
            taken = {number for (number,) in db.execute("SELECT number FROM learners WHERE code=?", (code,))}
            number = secrets.choice([one for one in range(1, 1000) if one not in taken])  # says nothing of the order
            now = time.time()
            db.execute("INSERT INTO learners VALUES (?, ?, ?, ?)", (code, owner, number, now))
            db.execute("UPDATE classes SET used_s=? WHERE code=?", (now, code))
            return now

    def leave(self, code: str, owner: str) -> None:
        """Let `owner` take part no more; what they answered goes with them."""
        with self._open(write=True) as db:
            of_them = "number=(SELECT number FROM learners WHERE code=? AND owner=?)"
            db.execute(f"DELETE FROM answers WHERE code=? AND {of_them}", (code, code, owner))
            db.execute("DELETE FROM learners WHERE code=? AND owner=?", (code, owner))

    def takes_part(self, owner: str) -> bool:
        """Whether `owner` is a learner of any class."""
        if not self._path.is_file():
            return False
        with self._open() as db:
            return db.execute("SELECT 1 FROM learners WHERE owner=? LIMIT 1", (owner,)).fetchone() is not None

    def note(
        self, code: str, owner: str, kind: str, question: str, answer: str, *, found: str = "", final: bool = True
    ) -> None:
        """Keep an answer of a learner in place of an earlier one, unless that was final. Beyond MOST_ANSWERS nothing is
        kept. Raises NotFound for whoever is no learner of the class.
        """
        with self._open(write=True) as db:
            _entry(db, code)
            known = db.execute("SELECT number FROM learners WHERE code=? AND owner=?", (code, owner)).fetchone()
            if known is None:
                raise NotFound("You are not in this class. Open its link first.")
            which = (code, known[0], kind)
            own = "FROM answers WHERE code=? AND number=? AND kind=?"
            before = db.execute(f"SELECT final {own} AND question=?", (*which, question)).fetchone()
            if before is not None and before[0]:
                return
            if before is None and db.execute(f"SELECT count(*) {own}", which).fetchone()[0] >= MOST_ANSWERS[kind]:
                return
            row = (*which, question, answer, found, int(final), time.time())
            db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute("UPDATE classes SET used_s=? WHERE code=?", (time.time(), code))

    def answers(self, code: str) -> list[Answer]:
        """What was answered, newest first."""
        with self._open() as db:
            chosen = "number, kind, question, answer, found, at_s"
            rows = db.execute(f"SELECT {chosen} FROM answers WHERE code=? ORDER BY at_s DESC", (code,)).fetchall()
        return [Answer(*row) for row in rows]

    def close(self, code: str) -> None:
        """Delete a class with all that it holds."""
        with self._open(write=True) as db:
            _remove(db, code)

    def forget(self, owner: str) -> None:
        """Delete what `owner` teaches and answered."""
        for one in self.taught(owner):
            self.close(one.code)
        with self._open() as db:
            taken = [code for (code,) in db.execute("SELECT code FROM learners WHERE owner=?", (owner,))]
        for code in taken:
            self.leave(code, owner)

    def expire(self) -> None:
        """Delete classes that were not used for KEEP_S."""
        with self._open(write=True) as db:
            old = db.execute("SELECT code FROM classes WHERE used_s<?", (time.time() - KEEP_S,)).fetchall()
            for (code,) in old:
                _remove(db, code)

    def move_times(self, jump_s: float) -> None:
        """Move every time along where the clock has jumped (`steering.jobs.clock`)."""
        with self._open(write=True) as db:
            for table, column in (("classes", "used_s"), ("learners", "since_s"), ("answers", "at_s")):
                db.execute(f"UPDATE {table} SET {column}={column}+?", (jump_s,))

    @contextmanager
    def _open(self, *, make: bool = False, write: bool = False) -> Iterator[sqlite3.Connection]:
        """The book, for one transaction; an empty one in memory where there is none yet and `make` is not set."""
        try:
            db = sqlite3.connect(self._path if make or self._path.is_file() else ":memory:", timeout=30)
            try:
                if make or not self._path.is_file():
                    db.executescript(_SCHEMA)
                with db:
                    if make or write:
                        db.execute("BEGIN IMMEDIATE")
                    yield db
            finally:
                db.close()
        except sqlite3.DatabaseError as error:
            raise _words(error, self._path) from error


def _words(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """The error in words; a damaged list is set aside, so it is said once."""
    if is_damage(error) and set_aside_if_damaged(path):
        return InputError(DAMAGED)
    return worded(error, path) or error


def _entry(db: sqlite3.Connection, code: str) -> Entry:
    row = db.execute(
        "SELECT code, title, teacher, (SELECT count(*) FROM learners WHERE learners.code=classes.code), used_s "
        "FROM classes WHERE code=?",
        (code,),
    ).fetchone()
    if row is None:
        raise NotFound(NO_CLASS)
    return Entry(*row)


def _remove(db: sqlite3.Connection, code: str) -> None:
    for table in ("answers", "learners", "classes"):
        db.execute(f"DELETE FROM {table} WHERE code=?", (code,))


def _digest(secret: str) -> str:
    return hashlib.sha256(f"class {secret}".encode()).hexdigest()
