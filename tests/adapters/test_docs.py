"""The examples of docs/ecosystem.md do what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "ecosystem.md"


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # river's datasets
def test_examples_of_the_page():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("".join(blocks), {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 25
    result = doctest.DocTestRunner().run(examples)
    assert result.failed == 0
