"""The examples on the page of the room run as they stand, one after the other."""

import re
from pathlib import Path
from typing import Any

from pressrun.methods import activations as act

PAGE = Path(__file__).parents[3] / "docs/methods/steering.md"


def test_the_examples_run(smollm2: act.Model) -> None:  # the fixture skips where the model is not installed
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(example, names)
    assert int((names["gains"] != 0).sum()) == 10
    assert names["words"].auc == 1.0
    assert names["steered"].shape == (8, 1, 16, 16)


def test_the_room_lists_each_name_once_and_has_it() -> None:
    from pressrun.methods import steering

    assert sorted(set(steering.__all__)) == sorted(steering.__all__)
    assert all(hasattr(steering, name) for name in steering.__all__)
