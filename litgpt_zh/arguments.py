"""The parser of our own commands: what it does not take, it says in one line."""

from __future__ import annotations

import re
from typing import NoReturn

from jsonargparse import ArgumentParser

_KEY = re.compile(r'(?:Validation failed: )?(?:Parser key|Key) "([^"]+)":?\s*')


class Parser(ArgumentParser):
    """jsonargparse's, which prints its whole usage, and of an option with choices neither its value nor the choices: the
    check of a `Literal` of texts alone fails inside with "Cannot take a Union of no types"."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Name the option and what it takes, and leave with status 2."""
        if not self.exit_on_error:  # jsonargparse itself tries a value
            super().error(message, ex)
        if found := _KEY.match(message):
            metavar = next((action.metavar for action in self._actions if action.dest == found[1]), None)
            choices = metavar[1:-1].replace(",", ", ") if isinstance(metavar, str) and metavar[:1] == "{" else ""
            message = f"--{found[1]} {f'takes one of {choices}' if choices else message[found.end() :]}"
        self.exit(2, f"{self.prog}: {' '.join(message.split()).rstrip('.')}; {self.prog} --help explains each option\n")
