"""What pyproject.toml cannot say: a wheel carries the top-level recipes/, tokenizer/ and docs/ in litgpt_zh/shipped/."""

from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("recipes", "tokenizer", "docs")


class WithShipped(build_py):
    """Copies them beside the package while a wheel is built; an editable install finds them in the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in SHIPPED:
                self.copy_tree(name, str(Path(self.build_lib, "litgpt_zh", "shipped", name)))

    def get_outputs(self, *args: Any, **kwargs: Any) -> list[str]:
        copied = [p for name in SHIPPED for p in Path(self.build_lib, "litgpt_zh/shipped", name).glob("*")]
        return [*super().get_outputs(*args, **kwargs), *map(str, copied)]


setup(cmdclass={"build_py": WithShipped})
