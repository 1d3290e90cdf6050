"""The words of Little Tales: every category a story template may draw on."""

from .grammar import Grammar, Rule, compile_template

DISTINCT_FEATURES = ("name", "kind", "spot", "food", "look")


def rules(entries, *, binds=None, weight=1.0, **features):
    """Rules from entries separated by "|", where earlier entries are a little more usual.

    ``binds`` names a feature that holds the entry itself.
    """
    made = []
    for rank, entry in enumerate(piece.strip() for piece in entries.split("|")):
        kept = {binds: entry} if binds else {}
        made.append(Rule(compile_template(entry), {**kept, **features}, weight / (1 + rank / 8)))
    return made


CHARACTERS = {
    "name": (
        rules("Mia | Lily | Rosa | Anna | Nora | Ella | Ruby | Clara", binds="name", gender="she")
        + rules("Tom | Ben | Leo | Finn | Max | Oscar | Hugo | Pip", binds="name", gender="he")
    ),
    "kind": (
        rules(
            "fox | rabbit | bear | mouse | owl | hedgehog | squirrel | badger | otter | duck"
            " | cat | dog | goat | frog",
            binds="kind",
        )
        + rules("girl", binds="kind", gender="she", weight=2)
        + rules("boy", binds="kind", gender="he", weight=2)
    ),
    "he": rules("he", gender="he") + rules("she", gender="she"),
    "him": rules("him", gender="he") + rules("her", gender="she"),
    "his": rules("his", gender="he") + rules("her", gender="she"),
    "nature": rules(
        "kind | brave | shy | clever | curious | gentle | cheerful | quiet | sleepy | polite | merry"
    ),
    "trait": rules("{nature}", weight=3) + rules("{nature} little | {nature} young | little | small"),
    "feeling": rules("happy | glad | proud | pleased"),
    "gloomy": rules("sad | worried | lonely"),
}

PLACES = {
    "home": (
        rules("in a {house_look} {house} {near}", weight=4)
        + rules("by the river | at the edge of the forest | under an old oak tree")
    ),
    "house_look": rules("tidy | tiny | cosy | crooked | round | wooden"),
    "house": rules("cottage | house | cabin | hut | tower"),
    "near": rules(
        "by the river | near the sea | beside a quiet lake | at the edge of the forest"
        " | at the foot of the mountain | on top of a green hill | behind the old mill"
        " | next to an apple orchard"
    ),
    "place": rules(
        "forest | meadow | garden | orchard | valley | river | lake | pond | mill | beach | hill | bridge",
        binds="place",
    ),
    "to_place": rules("to the {place:@}"),
    "at_place": (
        rules("in the forest", place="forest") + rules("in the meadow", place="meadow")
        + rules("in the garden", place="garden") + rules("in the orchard", place="orchard")
        + rules("in the valley", place="valley") + rules("by the river", place="river")
        + rules("by the lake", place="lake") + rules("beside the pond", place="pond")
        + rules("behind the mill", place="mill") + rules("on the beach", place="beach")
        + rules("on the hill", place="hill") + rules("near the bridge", place="bridge")
    ),
    "hiding_place": rules(
        "under a leaf | behind a stone | in the tall grass | between two rocks | under an old bench"
        " | beside the path | inside an old boot"
    ),
    "spot": rules(
        "under the bed | behind the door | in the kitchen | on the shelf | inside the cupboard",
        binds="spot",
    ),
    "way": rules(
        "over the hills | through the forest | across the bridge | along the river | past the old mill",
        binds="spot",
    ),
    "sight": rules(
        "sea | castle | city | island | waterfall", binds="sight",
    ),
    "sky": rules(
        "under the stars | in the moonlight | in the evening sun | along the quiet road"
    ),
}

THINGS = {
    "colour": rules(
        "red | blue | green | yellow | orange | white | golden", binds="look",
    ),
    "look": rules("{colour:@}", weight=3) + rules("wooden | shiny | tiny", binds="look"),
    "one_toy": rules("kite | ball | drum | boat | whistle | wagon", binds="thing", number="one"),
    "many_toys": rules("marbles | paints", binds="thing", number="many"),
    "toy": rules("{one_toy:@}", number="one") + rules("{many_toys:@}", number="many"),
    "some_toy": (
        rules("a {look:@} {one_toy:@}", weight=3, number="one")
        + rules("some {look:@} {many_toys:@}", number="many")
    ),
    "what_a_toy": (
        rules("what a {lovely} {one_toy:@}", number="one")
        + rules("what {lovely} {many_toys:@}", number="many")
    ),
    "such_a_toy": (
        rules("such a {lovely} {one_toy:@}", number="one")
        + rules("such {lovely} {many_toys:@}", number="many")
    ),
    "one_treasure": rules(
        "hat | scarf | umbrella | lantern | ring | book | key | bell",
        binds="thing", number="one",
    ),
    "many_treasures": rules("mittens | boots", binds="thing", number="many"),
    "treasure": rules("{one_treasure:@}", number="one") + rules("{many_treasures:@}", number="many"),
    "my_treasure": (
        rules("{colour:@} {one_treasure:@}", weight=3, number="one")
        + rules("{colour:@} {many_treasures:@}", number="many")
    ),
    "it": rules("it", number="one") + rules("them", number="many"),
    "it_subject": rules("it", number="one") + rules("they", number="many"),
    "was": rules("was", number="one") + rules("were", number="many"),
    "lovely": rules("lovely | fine | beautiful | wonderful"),
    "wonderful": rules("wonderful | lovely | warm and sweet"),
    "fruit": rules("berries | apples | pears | nuts", binds="food"),
    "one_dish": rules("cake | pie", binds="food", number="one"),
    "a_dish": (
        rules("a {fruit_of_pie} {one_dish:@}", number="one")
        + rules("some {soup_taste} soup", food="soup", number="one")
        + rules("some {biscuit_taste} pancakes", food="pancakes", number="many")
        + rules("some {biscuit_taste} biscuits", food="biscuits", number="many")
    ),
    "dish": (
        rules("cake | pie | soup", binds="food", number="one")
        + rules("pancakes | biscuits", binds="food", number="many")
    ),
    "fruit_of_pie": rules("apple | cherry | honey"),
    "soup_taste": rules("hot | warm"),
    "biscuit_taste": rules("sweet | warm | apple"),
    "missing_food": rules("flour | butter | milk", binds="food"),
    "picnic": rules("some bread and cheese | a basket of {fruit} | an apple pie"),
    "drink": rules("tea | milk"),
    "project": rules("boat | raft | swing | cart | bridge", binds="thing"),
    "tools": rules(
        "a hammer and some nails | a long rope | a wagon full of wood"
    ),
    "flowers": rules("roses | tulips | daisies | sunflowers", binds="flower"),
}

EVENTS = {
    "time": rules(
        "one morning | one day | one afternoon | one sunny day | one windy day | early one morning"
        " | on a warm summer day | one spring morning"
    ),
    "went": rules("walked | ran | went | hurried | wandered"),
    "doing": rules("picking {fruit} | looking for {fruit} | flying a kite | taking a walk"),
    "storm": (
        rules("the rain began to fall", weather="rain") + rules("the snow began to fall", weather="snow")
        + rules("a cold wind began to blow", weather="wind") + rules("a great storm began", weather="storm")
    ),
    "weather": rules("rain | snow | wind | storm", binds="weather"),
    "fun": rules("told stories | sang songs | played games"),
    "until": rules(
        "until the sun went down | until the stars came out | until it was time for bed"
    ),
    "all_day": rules("all day | all morning | all afternoon"),
    "agreed": rules("agreed | nodded | laughed | smiled"),
    "cheered": rules("danced with joy | laughed out loud | sang a little song"),
    "said_softly": rules("said | whispered"),
    "count": rules("two | three | four | five"),
}

GRAMMAR = Grammar({**CHARACTERS, **PLACES, **THINGS, **EVENTS}, DISTINCT_FEATURES)
