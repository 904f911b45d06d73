import pytest

from affekt import prompts
from affekt.errors import RecipeError
from affekt.labels import CANONICAL
from affekt.types import GENDERS


def test_english_is_the_papers_template():
    assert prompts.of_emotions(["angry"]) == ["The emotion is angry"]


@pytest.mark.parametrize("language", prompts.LANGUAGES)
def test_every_language_says_every_class_and_gender_in_a_way_of_its_own(language):
    assert len({*prompts.of_emotions(CANONICAL, language=language)}) == len(CANONICAL)
    assert len({*prompts.of_genders(language)}) == len(GENDERS)
    words = prompts.LANGUAGES[language].words
    assert not words or {*words} == {*CANONICAL} - {"other", "unknown"}


def test_words_and_template_may_be_ones_own():
    said = prompts.of_emotions(
        ["angry", "calm"], template="she sounds {emotion}", words={"calm": "at ease"}
    )
    assert said == ["she sounds angry", "she sounds at ease"]


@pytest.mark.parametrize(
    ("classes", "changes", "told"),
    [
        (
            ["angry"],
            {"language": "gr"},
            "language of prompts 'gr' is not known",
        ),
        (["angry"], {"template": "The emotion"}, "it needs {emotion} once"),
        (["angry"], {"template": "{emotion} {emotion}"}, "it needs {emotion} once"),
        (["angry"], {"template": "The emotion is {class}"}, "it needs {emotion} once"),
        ([], {}, "no class to ask for"),
        (["angry", " "], {}, "none that is empty"),
        (["angry", "sad"], {"words": {"sad": "angry"}}, "two classes are said alike"),
    ],
)
def test_what_cannot_be_said_is_refused(classes, changes, told):
    with pytest.raises(RecipeError, match=told):
        prompts.of_emotions(classes, **changes)
