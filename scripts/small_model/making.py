"""Training one of the models from its stories to its files."""

import json

from . import tales
from .checkpoint import write_checkpoint
from .collection import TOKENIZER, TRAINING_SEED, TRAINING_STORIES
from .safetensors import experts_apart, write_safetensors
from .tokenizer import BOS, Tokenizer, train_tokenizer


def make_tokenizer(stories, vocabulary_size, path):
    """Train the tokenizer, make sure its two encoders agree, and write it."""
    tokenizer = train_tokenizer(stories[:10000], vocabulary_size)
    for story in stories[:100]:
        token_ids = tokenizer.encode(story)
        if token_ids != tokenizer.encode_document(story, {}) or tokenizer.decode(token_ids) != story:
            raise AssertionError(f"the tokenizer does not reproduce: {story}")
    tokenizer.write(path)
    return tokenizer


def make_weights(model, recipe, tokenizer, stories, folder):
    """Train the model and write its weights."""
    from .decoder import Decoder
    from .training import rows_of_documents, train
    from .transformer import Transformer

    seen_pieces = {}
    documents = [tokenizer.encode_document(story, seen_pieces) for story in stories]
    context = model.config.seq_len if model.has_llama2c_file() else model.config["max_position_embeddings"]
    rows = rows_of_documents(documents, BOS, context + 1)
    print(f"{len(stories)} stories, {rows.size} tokens")
    make_model = Transformer if model.has_llama2c_file() else Decoder
    trained = train(lambda: make_model(model.config), recipe, rows, report=lambda line: print(line, flush=True))
    if model.has_llama2c_file():
        write_checkpoint(folder / "model.bin", model.config, trained.weights())
    else:
        write_published(folder, model.config, trained.weights())


def write_published(folder, config, weights):
    """Write the files that Hugging Face calls a model: config.json and model.safetensors."""
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_safetensors(folder / "model.safetensors", stored_tensors(config, weights))


def stored_tensors(config, weights):
    """The tensors as the family stores them: DeepSeek's experts stand one by one."""
    return experts_apart(weights) if config["model_type"] == "deepseek_v3" else weights


def make(name, model, recipe, folder):
    """Write the trained files of a model; Little Tales also makes the tokenizer of all."""
    folder.mkdir(parents=True, exist_ok=True)
    stories = tales.tell_stories(TRAINING_STORIES, TRAINING_SEED)
    if name == "little_tales":
        tokenizer = make_tokenizer(stories, model.config.vocab_size, folder / "tokenizer.bin")
    else:
        tokenizer = Tokenizer.read(TOKENIZER)
    make_weights(model, recipe, tokenizer, stories, folder)
