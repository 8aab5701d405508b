"""Repositories of the Hugging Face hub: the one place that names and fetches them. Costs a request or a download.

A source that somebody else than the operator chose (a field of the page, a name inside a dataset or checkpoint) is
marked: `hub:owner/name`. A marked name never becomes a path, however a folder here is called, and is fetched without
anybody's token, so that a visitor sees what everybody may see. On a public server it also has a cache of its own:
what the operator downloaded with their token stays theirs. A visitor who is signed in (`hub:owner/name@account`) asks
with their own token (`steering.logins`) and has a cache of their own, so what opens to them opens to nobody else. Names
on the command line are the operator's: a folder of that name comes first, and their `hf auth login` holds.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steering import logins
from steering.errors import InputError, NotFound
from steering.public import is_public

MARK = "hub:"
POINTER = b"version https://git-lfs.github.com/spec/v1"
MAX_POINTER_BYTES = 1024  # by the specification of Git LFS
LAPSED = " Your login is not known here any more: sign in again, then try again."
_ACCOUNT = re.compile(r"(.*)@([0-9a-f]{16})", re.DOTALL)
_TOKEN = re.compile(r"[!-~]{1,200}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)


def opens_to_visitors() -> bool:
    """Whether a name that a visitor types may open: the hub is asked, or what the operator downloaded opens to them."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE or not is_public()


@dataclass(frozen=True)
class Repository:
    """A repository of the hub. id: owner/name. chosen_here: by whoever runs this, so their token and cache hold.
    account: who is signed in and chose it, so that theirs do; empty for nobody.
    """

    id: str
    chosen_here: bool = False
    account: str = ""

    @property
    def source(self) -> str:
        """As pipeline functions take it."""
        return self.id if self.chosen_here else marked(self.id, self.account)

    @property
    def access(self) -> dict[str, Any]:
        """Token and cache, as huggingface_hub's functions take them."""
        if self.chosen_here:
            return {"token": None, "cache_dir": None}
        if self.account:
            login = logins.of(self.account)
            return {"token": login.token if login else False, "cache_dir": visitors_cache() / self.account}
        return {"token": False, "cache_dir": visitors_cache() if is_public() else None}

    @property
    def lapsed(self) -> str:
        """A sentence, after what went wrong, where whoever chose it is not signed in any more; else empty."""
        return LAPSED if self.account and logins.of(self.account) is None else ""

    def snapshot(self, kind: Literal["model", "dataset"], patterns: Sequence[str], *, here: bool = False) -> Path:
        """The folder in the cache with the files of `patterns`, downloaded where they are not there yet; here: never.

        Raises what `huggingface_hub.snapshot_download` raises.
        """
        from huggingface_hub import snapshot_download

        found = snapshot_download(
            self.id, repo_type=kind, allow_patterns=list(patterns), local_files_only=here, **self.access
        )
        return Path(found)

    def file(self, kind: Literal["model", "dataset"], name: str, revision: str) -> Path:
        """One file of a revision in the cache, downloaded where it is not there yet.

        Raises what `huggingface_hub.hf_hub_download` raises.
        """
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.id, name, repo_type=kind, revision=revision, **self.access))


def is_pointer(path: Path) -> bool:
    """Whether a file only points to the real one, as Git LFS leaves it; opened only where it is small enough."""
    try:
        if path.stat().st_size > MAX_POINTER_BYTES:
            return False
        with path.open("rb") as stream:
            return stream.read(len(POINTER)) == POINTER
    except OSError:
        return False


def refuse_pointer(path: Path) -> None:
    """Raise InputError, with what to do, where a file is a Git LFS pointer."""
    if is_pointer(path):
        raise InputError(
            f"{path.name} is a Git LFS pointer, not the file itself: the repository was cloned without its large "
            "files. Run `git lfs pull` in its folder, or download it again."
        )


def is_id(text: str) -> bool:
    """Whether a text has the form owner/name."""
    return _ID.fullmatch(text) is not None and ".." not in text


def marked(text: object, account: str = "") -> str:
    """The source of a repository that a visitor, or a file of others, names. account: of whoever is signed in and does.
    Raises InputError for what is no name.
    """
    name = text.removeprefix(MARK) if isinstance(text, str) else ""
    if not is_id(name):
        raise InputError(
            "Expected the name of a repository on the Hugging Face hub, an owner, a slash and a name such as "
            f"lerobot/pi0_base; got {str(text)[:80]!r}."
        )
    return f"{MARK}{name}@{account}" if account else f"{MARK}{name}"


def named(source: str | Path) -> Repository | None:
    """The repository that a source means; None for a folder, a file, or what has no such form.

    An unmarked text is the operator's own, and a folder or file of that name comes before the hub.
    """
    text = str(source)
    if text.startswith(MARK):
        found = _ACCOUNT.fullmatch(text)
        name, account = (found[1], found[2]) if found else (text, "")
        return Repository(marked(name).removeprefix(MARK), account=account)
    if isinstance(source, Path) or not is_id(text) or Path(text).exists():
        return None
    return Repository(text, chosen_here=True)


def beside(source: str, text: object) -> Repository:
    """The repository that a checkpoint of `source` names in its files; never a path. Raises NotFound for no name."""
    try:
        name = marked(text).removeprefix(MARK)
    except InputError as error:
        raise NotFound(f"{shown(source)} names another repository that is none. {error}") from None
    if not source.startswith(MARK):
        return Repository(name, chosen_here=True)
    found = named(source)
    return Repository(name, account=found.account if found else "")


def push(folder: Path, repository: str, *, public: bool = False, token: str = "") -> str:
    """Upload a folder to a model repository, made where it does not exist; its address.

    token: of whoever uploads, for this call alone; empty for the login of whoever runs this. Raises InputError, in
    words without the token, for what is no repository's name or token, and where the hub does not take it.
    """
    from huggingface_hub import HfApi

    if not is_id(repository):
        raise InputError(f"Expected the name of a repository on the hub, as me/my-policy; got {repository[:80]!r}.")
    if token and not _TOKEN.fullmatch(token):
        raise InputError("Expected a token of the Hugging Face hub: letters, digits and signs without spaces.")
    try:
        api = HfApi(token=token or True)
        url = str(api.create_repo(repository, private=not public, exist_ok=True))
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="A policy of the workbench")
    except Exception as error:  # the hub's, the system's, and those of whatever HTTP is spoken by
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        if token:
            said = (
                f"The hub did not take {repository} ({what.replace(token, '…')}). Give a token of yours that may write."
            )
            raise InputError(said) from None  # what caused it may hold the token
        raise InputError(
            f"The hub did not take {repository} ({what}). Log in with `hf auth login`, or set HF_TOKEN to a token of "
            "yours that may write; HF_HUB_OFFLINE must not be set."
        ) from error
    return url


def shown(source: str | Path) -> str:
    """A source in messages: without mark and account."""
    text = str(source)
    if not text.startswith(MARK):
        return text
    found = _ACCOUNT.fullmatch(text)
    return (found[1] if found else text).removeprefix(MARK)


def account_of(values: Iterable[object]) -> str:
    """The account whose login a job needs for one of its values; empty where it needs none."""
    for value in values:
        if isinstance(value, str) and value.startswith(MARK) and (found := _ACCOUNT.fullmatch(value)):
            return found[2]
    return ""


def forget_downloads(account: str) -> None:
    """Delete what was fetched with the login of an account."""
    if _ACCOUNT.fullmatch(f"@{account}"):
        shutil.rmtree(visitors_cache() / account, ignore_errors=True)


def forget_old_downloads(keep_s: float) -> None:
    """Delete what was fetched with logins of accounts that have fetched nothing else for `keep_s`."""
    for folder in visitors_cache().glob("*"):
        with suppress(FileNotFoundError):  # another server was quicker
            if folder.stat().st_mtime < time.time() - keep_s:
                forget_downloads(folder.name)


def visitors_cache() -> Path:
    """Where downloads of visitors lie that are not everybody's, and of accounts, each in a folder of their own."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "steering-visitors"
