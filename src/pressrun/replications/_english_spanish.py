"""Translated sentences, questions in English, and frequent words of English and Spanish, written for these replications."""

from __future__ import annotations

import re

__all__ = ["ENGLISH", "FRAMES", "QUESTIONS", "SPANISH", "TEXTS", "THINGS", "sounds_spanish"]

THINGS = (
    ("the bread", "el pan"),
    ("the water", "el agua"),
    ("the book", "el libro"),
    ("the table", "la mesa"),
    ("the window", "la ventana"),
    ("the garden", "el jardín"),
    ("the letter", "la carta"),
    ("the bridge", "el puente"),
    ("the fruit", "la fruta"),
    ("the kitchen", "la cocina"),
    ("the money", "el dinero"),
    ("the road", "el camino"),
)
FRAMES = (
    ("We saw {} yesterday.", "Ayer vimos {}."),
    ("My sister wants {}.", "Mi hermana quiere {}."),
    ("They do not know where {} is.", "No saben dónde está {}."),
    ("I need {} today.", "Hoy necesito {}."),
    ("She was looking at {} in silence.", "Ella miraba {} en silencio."),
    ("There is something new about {}.", "Hay algo nuevo sobre {}."),
    ("The children like {}.", "A los niños les gusta {}."),
    ("He paid a lot for {}.", "Él pagó mucho por {}."),
    ("Tell me the truth about {}.", "Dime la verdad sobre {}."),
    ("We can not live without {}.", "No podemos vivir sin {}."),
    ("She always thinks of {}.", "Ella siempre piensa en {}."),
    ("They will change {} next year.", "El próximo año van a cambiar {}."),
)
QUESTIONS = (
    "Explain how rain forms.",
    "How do birds build a nest?",
    "What is a good breakfast?",
    "Why do leaves fall in autumn?",
    "Describe a quiet village.",
    "How does a bicycle work?",
    "What makes a good friend?",
    "Tell a story about a small dog.",
    "How is cheese made?",
    "Why is the sky blue?",
    "What can one see in a museum?",
    "How do I clean a window?",
    "Describe a day at the beach.",
    "What is a volcano?",
    "How do bees make honey?",
    "Why do people travel?",
    "Explain how bread rises.",
    "What do doctors do?",
    "How do I learn to swim?",
    "Tell a story about an old house.",
    "What is music good for?",
    "Describe a winter morning.",
    "How do plants grow?",
    "Why do we sleep?",
    "What is a library?",
    "How do I make soup?",
    "Describe a busy market.",
    "Explain what the moon does.",
)
SPANISH = (
    "de la que el en los se del las por un una con para su al lo como más pero sus le ya este sí porque esta entre cuando muy sin sobre "
    "también hasta hay donde quien desde todo nos durante todos uno les ni contra otros ese eso ante ellos esto antes algunos qué unos yo "
    "otro otras otra él tanto esa estos mucho cual poco ella estar estas algo nosotros mi mis tú te ti tu es son fue era está puede ser"
)
ENGLISH = (
    "the of and to in is that it was for on are with as his they be at one have this from or had by but some what there we can out other "
    "were all your when up use how said an each she which do their if will way about many then them would these so her him into has more "
    "you i a my our not who its than been could may most people when where while"
)
TEXTS = {
    "spanish": (
        "La ciudad tiene un río muy largo y muchos puentes antiguos.",
        "Mi abuela cocina todos los domingos para la familia.",
        "El tren sale a las ocho y llega antes del mediodía.",
        "En verano los días son largos y las noches cortas.",
        "El maestro explica la lección con mucha paciencia.",
        "Cuando llueve, los niños juegan dentro de la casa.",
    ),
    "english": (
        "The city has a very long river and many old bridges.",
        "My grandmother cooks every Sunday for the family.",
        "The train leaves at eight and arrives before noon.",
        "In summer the days are long and the nights are short.",
        "The teacher explains the lesson with a lot of patience.",
        "When it rains, the children play inside the house.",
    ),
}


def sounds_spanish(answer: str) -> bool:
    """Whether it has more Spanish function words than English ones; words of both do not count."""
    words = re.findall(r"\w+", answer.lower())
    spanish, english = set(SPANISH.split()) - set(ENGLISH.split()), set(ENGLISH.split()) - set(SPANISH.split())
    return sum((word in spanish) - (word in english) for word in words) > 0
