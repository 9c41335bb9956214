"""Names that stand for a configured model or voice: those of the hosted service, and those of the configuration.

A program written for the hosted service names its models and voices, or their ids. Rules:

- A configured model or voice of the same name wins; then an alias of the configuration; then one of the tables here.
- Every model name of the service stands for the default model: it is what a call without a name gets there, too.
- Only English voices of the service are here. They stand for an English voice: for the default one if it speaks
  English or does not say, else for the first that does, and for the default one where there is none. A voice of
  another language has no stand-in that would speak it, and is refused unless the configuration names one.

Sources: the service's public documentation (changelog, examples, integrations) and public programs that use it.
"""

from __future__ import annotations

from collections.abc import Mapping

HOSTED_MODELS = (
    *("ultravox-v0.7", "ultravox-v0.6", "ultravox-v0.6-llama3.3-70b", "ultravox-v0.6-gemma3-27b"),
    *("fixie-ai/ultravox", "fixie-ai/ultravox-v0.7", "fixie-ai/ultravox-v0.6"),
    *("fixie-ai/ultravox-llama3.3-70b", "fixie-ai/ultravox-gemma3-27b-preview", "fixie-ai/ultravox-qwen3-32b-preview"),
    *("fixie-ai/ultravox-glm4.5-355b-preview", "fixie-ai/ultravox-glm4.6-355b-preview"),
    *("fixie-ai/ultravox-70B", "fixie-ai/ultravox-8B"),
)
"""Models of the hosted service, by the names that its programs use."""

HOSTED_VOICES = {
    "Mark": "91fa9bcf-93c8-467c-8b29-973720e3f167",
    "Jessica": None,
    "Tanya-English": "1769b283-36c6-4883-9c52-17bf75a29bc5",
    "Emily-English": "87691b77-0174-4808-b73c-30000b334e14",
    "Aaron-English": "feccf00b-417e-4e7a-9f89-62f537280334",
    "Cassidy-English": "f0ed7e07-0e85-4853-a8f5-e09c627cf944",
    "Terrence": None,
}
"""English voices of the hosted service by name, with their id there where programs use it."""


def model_aliases(models: Mapping[str, object], default: str, configured: Mapping[str, str]) -> dict[str, str]:
    """Return the configured model that each further name stands for."""
    aliases = {**dict.fromkeys(HOSTED_MODELS, default), **configured}
    return {alias: name for alias, name in aliases.items() if alias not in models}


def voice_aliases(languages: Mapping[str, str | None], default: str, configured: Mapping[str, str]) -> dict[str, str]:
    """Return the configured voice that each further name stands for. ``languages``: of the configured voices."""
    names = {name.casefold() for name in languages}
    english = _english(languages, default)
    taken = {alias.casefold() for alias in configured} | names
    hosted = {alias: english for alias in HOSTED_VOICES if alias.casefold() not in taken}
    return {**hosted, **{alias: name for alias, name in configured.items() if alias.casefold() not in names}}


def hosted_name(voice_id: str) -> str | None:
    """Return the name of the hosted service's English voice with that id, if it is one."""
    return next((name for name, known in HOSTED_VOICES.items() if known == voice_id.casefold()), None)


def _english(languages: Mapping[str, str | None], default: str) -> str:
    speaks = {name: (language or "").partition("-")[0].casefold() for name, language in languages.items()}
    if speaks[default] in ("", "en"):
        return default
    for wanted in ("en", ""):
        if (found := next((name for name, language in speaks.items() if language == wanted), None)) is not None:
            return found
    return default
