"""Classes as sentences: templates and words of each language.

Pan et al. 2024 (arXiv:2306.07848), section 3.1: "The emotion is [class]".
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from affekt.errors import RecipeError, choose
from affekt.types import GENDERS

EMOTION, GENDER = "{emotion}", "{gender}"  # what stands in a template


class Language(NamedTuple):
    """How a language says a class."""

    emotion: str  # template
    words: dict[str, str]  # by canonical label; one that is not named is said as it is
    gender: str  # template
    genders: tuple[str, str]  # in the order of affekt.types.GENDERS


# The nouns of a language where its adjective would have to agree with somebody.
LANGUAGES: dict[str, Language] = {
    "en": Language("The emotion is {emotion}", {}, "The gender is {gender}", GENDERS),
    "de": Language(
        "Die Emotion ist {emotion}",
        {
            "angry": "Wut",
            "happy": "Freude",
            "neutral": "neutral",
            "sad": "Trauer",
            "fearful": "Angst",
            "disgusted": "Ekel",
            "surprised": "Überraschung",
            "calm": "Ruhe",
            "bored": "Langeweile",
            "contemptuous": "Verachtung",
            "excited": "Aufregung",
            "frustrated": "Frustration",
        },
        "Das Geschlecht ist {gender}",
        ("weiblich", "männlich"),
    ),
    "pl": Language(
        "Emocja to {emotion}",
        {
            "angry": "złość",
            "happy": "radość",
            "neutral": "neutralność",
            "sad": "smutek",
            "fearful": "strach",
            "disgusted": "wstręt",
            "surprised": "zaskoczenie",
            "calm": "spokój",
            "bored": "nuda",
            "contemptuous": "pogarda",
            "excited": "podekscytowanie",
            "frustrated": "frustracja",
        },
        "Płeć to {gender}",
        ("kobieta", "mężczyzna"),
    ),
    "zh": Language(
        "情绪是{emotion}",
        {
            "angry": "愤怒",
            "happy": "高兴",
            "neutral": "中性",
            "sad": "悲伤",
            "fearful": "害怕",
            "disgusted": "厌恶",
            "surprised": "惊讶",
            "calm": "平静",
            "bored": "无聊",
            "contemptuous": "轻蔑",
            "excited": "激动",
            "frustrated": "沮丧",
        },
        "性别是{gender}",
        ("女", "男"),
    ),
}


def of_emotions(
    classes: Sequence[str],
    *,
    language: str = "en",
    template: str | None = None,
    words: Mapping[str, str] | None = None,
) -> list[str]:
    """A sentence for each class.

    >>> of_emotions(["angry", "sad"], language="de")
    ['Die Emotion ist Wut', 'Die Emotion ist Trauer']

    Args:
        classes: labels, or words that no corpus ever had.
        language: of the template and the words.
        template: in place of the language's; `{emotion}` stands for the word.
        words: in place of the language's, by label.

    Raises:
        RecipeError: the language is not known, the template has no place for a word, there is no
            class, or two would be one sentence.
    """
    template = template_of(language, template)
    if not classes or not all(name.strip() for name in classes):
        raise RecipeError("no class to ask for; name at least one, and none that is empty")
    said = LANGUAGES[language].words | dict(words or {})
    if odd := [name for name, word in (words or {}).items() if not word.strip()]:
        raise RecipeError(f"words: '{odd[0]}' is said by no word; give one, or leave it out")
    sentences = [template.replace(EMOTION, said.get(name, name)) for name in classes]
    if twice := sorted({s for s in sentences if sentences.count(s) > 1}):
        raise RecipeError(f"two classes are said alike: '{twice[0]}'; give them words of their own")
    return sentences


def template_of(language: str = "en", template: str | None = None) -> str:
    """The sentence that words are put into: a language's, or the one that is given instead.

    Raises:
        RecipeError: the language is not known, or the template has no place for a word.
    """
    spoken: Language = choose(LANGUAGES, language, "language of prompts", RecipeError)
    template = spoken.emotion if template is None else template
    if template.count(EMOTION) != 1 or "{" in template.replace(EMOTION, ""):
        raise RecipeError(
            f"template '{template}': it needs {EMOTION} once, where the word stands, and nothing "
            f"else in braces, as in '{spoken.emotion}'"
        )
    return template


def of_genders(language: str = "en") -> list[str]:
    """A sentence for each of GENDERS."""
    spoken: Language = choose(LANGUAGES, language, "language of prompts", RecipeError)
    return [spoken.gender.replace(GENDER, word) for word in spoken.genders]
