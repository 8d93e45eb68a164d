"""The rows of a study: one Arrow schema a table, each column with its unit and meaning.

Every result of a study is a row of one of these tables and everything else is derived from them. A table is a folder
of Parquet files. A column's unit and meaning travel in the field's metadata, so that the files explain themselves:
``pyarrow.parquet.read_schema(file).field("squared_error").metadata``.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 2

OPTUNA_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL", "failed": "FAIL"}
"""How a trial ends here and, of search, what Optuna calls it."""

STATUSES = tuple(OPTUNA_STATES)
PHASES = ("search", "confirm", "ablate")
ARMS = ("tuned", "published", "control")
LOSSES = ("train_cross_entropy", "train_squared_error", "validation_cross_entropy", "validation_squared_error")
"""What is recorded of an epoch and, for the last one, of a trial."""


def _column(name: str, dtype: pa.DataType, unit: str, meaning: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, dtype, nullable=nullable, metadata={"unit": unit, "meaning": meaning})


def _schema(table: str, *columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"table": table, "schema_version": str(SCHEMA_VERSION)})


_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()
_TIME = pa.timestamp("ms", tz="UTC")
_TRIAL_ID = _column(
    "trial_id",
    _TEXT,
    "",
    "identity of the trial: phase, cell, number, configuration; unique in a study",
    nullable=False,
)

TRIALS = _schema(
    "trials",
    _TRIAL_ID,
    _column("study", _TEXT, "", "name of the study", nullable=False),
    _column("phase", _TEXT, "", "search, confirm or ablate", nullable=False),
    _column("arm", _TEXT, "", "tuned, published, or control (PCA, raw pixels; those that are trained)", nullable=False),
    _column("dataset", _TEXT, "", "name of the data set", nullable=False),
    _column("architecture", _TEXT, "", "name of the model", nullable=False),
    _column("code_size", _INT, "units", "size of the code layer", nullable=False),
    _column(
        "number",
        _INT,
        "",
        "of the search trial in its cell or of the rate that an ablation tries, from 0; of the seed otherwise, from 1",
        nullable=False,
    ),
    _column(
        "round",
        _INT,
        "",
        "of a search: 1 and 2 are short, 3 trains the finalists; of an ablation: 1 tries a learning rate; else null",
    ),
    _column("factor", _TEXT, "", "the one setting that an ablation changes; null in other phases"),
    _column("level", _TEXT, "", "the value that an ablation gives to its factor; null in other phases"),
    _column("base_code_size", _INT, "units", "of the confirmed configuration that an ablation starts from, else null"),
    _column(
        "configuration",
        _TEXT,
        "",
        "short digest of the settings but epochs; of an ablation, of the confirmed ones that it starts from",
    ),
    _column(
        "seed",
        _INT,
        "",
        "seed of starting weights, order of images and evaluation; null in controls of earlier versions",
    ),
    _column("status", _TEXT, "", "complete, pruned, diverged or failed", nullable=False),
    _column("reason", _TEXT, "", "why the trial did not complete; null where it did"),
    _column("sampler", _TEXT, "", "what chose the settings of a search trial: grid, or Optuna's random, tpe, ..., gp"),
    _column("budget_share", _FLOAT, "", "share of the parameter budget that a search trial was to use"),
    _column("filters_ratio", _FLOAT, "", "filters_2 over filters_1 that a search trial was to have, before rounding"),
    _column("winner", _INT, "", "number of the search trial whose settings are confirmed, or ablated; else null"),
    _column(
        "winner_gain",
        _FLOAT,
        "nats/image",
        "mean validation cross-entropy of search trial 0 minus that of the winner, over the seeds of round 3",
    ),
    # Settings: what was asked for. The same names in the search space, the trial's configuration and the tables.
    _column("recipe", _TEXT, "", "named set of training settings from which this trial's were taken"),
    _column("filters_1", _INT, "maps", "filter count of the first convolution"),
    _column("filters_2", _INT, "maps", "filter count of the second convolution"),
    _column("activation", _TEXT, "", "non-linearity after every layer but code and output"),
    _column("pooling", _TEXT, "", "how the encoder halves its maps"),
    _column("unpooling", _TEXT, "", "how the decoder doubles its maps"),
    _column(
        "loss", _TEXT, "", "what is minimised: cross_entropy, euclidean or both; null where nothing is reconstructed"
    ),
    _column("optimizer", _TEXT, "", "sgd, nesterov, adam, or muon: Muon for weights and Adam for biases"),
    _column("learning_rate", _FLOAT, "", "learning rate, the highest one where it is scheduled"),
    _column("bias_learning_rate_factor", _FLOAT, "", "learning rate of the biases over that of the weights"),
    _column("momentum", _FLOAT, "", "momentum; with adam, and for the biases of muon, the first beta"),
    _column(
        "second_moment_decay", _FLOAT, "", "second beta of adam and of the biases of muon; null with other optimizers"
    ),
    _column(
        "weight_decay",
        _FLOAT,
        "",
        "L2 penalty on weights and biases, added to the gradient; with muon decoupled, on weights alone",
    ),
    _column(
        "schedule",
        _TEXT,
        "",
        "constant, warmup_cosine or warmup_linear: linear warm-up, then by cosine or linearly to 0",
    ),
    _column("warmup_fraction", _FLOAT, "", "share of the steps spent in warm-up"),
    _column("gradient_norm_limit", _FLOAT, "", "gradients are scaled down to this Euclidean norm; null for no limit"),
    _column("starting_weights", _TEXT, "", "caffe, data_scaled, or module: those of a module of the user's own"),
    _column("batch_size", _INT, "images", "images a step"),
    _column("epochs_planned", _INT, "epochs", "full budget of epochs; of a search, of its round"),
    _column("objective", _TEXT, "", "what training minimises: reconstruction, denoising, ...; null in older versions"),
    _column("objective_strength", _FLOAT, "", "of the objective, in its own unit; null where it has none"),
    _column("pretraining", _TEXT, "", "layerwise where each layer is trained by itself first, else none or null"),
    _column(
        "module_settings",
        _TEXT,
        "",
        "JSON: what the factory of a module of the user's own was given besides the code size; null of other models",
    ),
    # Outcome.
    _column("epochs", _INT, "epochs", "epochs trained"),
    _column("train_images", _INT, "images", "size of the training set of this trial"),
    _column("parameters", _INT, "", "trained weights and biases"),
    _column("multiply_adds", _INT, "", "of a forward pass for one image, products with unpooling's zeros counted"),
    _column("train_cross_entropy", _FLOAT, "nats/image", "of the last epoch, averaged over its steps as they went"),
    _column("train_squared_error", _FLOAT, "1/image", "of the last epoch, averaged over its steps as they went"),
    _column(
        "validation_cross_entropy", _FLOAT, "nats/image", "after the last epoch; null where validation is trained on"
    ),
    _column("validation_squared_error", _FLOAT, "1/image", "after the last epoch; null where validation is trained on"),
    _column(
        "mean_image_cross_entropy", _FLOAT, "nats/image", "of predicting the mean training image, on the same images"
    ),
    _column("seconds", _FLOAT, "s", "wall time of the trial in its worker"),
    _column("device_seconds", _FLOAT, "s", "wall time multiplied by the GPUs (cores where there is none) held"),
    _column("device", _TEXT, "", "model of the GPU or processor"),
    _column(
        "engine",
        _TEXT,
        "",
        "what computed layers: kernels for avx512 or avx2, or PyTorch: plain, or uncaptured on a GPU",
    ),
    _column("host", _TEXT, "", "name of the node"),
    _column("started_at", _TIME, "UTC", "when the trial began in its worker"),
    _column("finished_at", _TIME, "UTC", "when its row was written"),
    # Provenance.
    _column("dataset_sha256", _TEXT, "", "digest of the images and labels"),
    _column("study_sha256", _TEXT, "", "digest of the study's identity: data, splits, recipe, space, epochs"),
    _column("git_commit", _TEXT, "", "commit of the code; null outside a checkout"),
    _column("git_dirty", pa.bool_(), "", "whether tracked files differed from that commit"),
    _column("versions", _TEXT, "", "JSON: Python and the libraries that decide the numbers"),
)

EPOCHS = _schema(
    "epochs",
    _TRIAL_ID,
    _column("epoch", _INT, "epochs", "from 1", nullable=False),
    _column("learning_rate", _FLOAT, "", "of the last step of the epoch"),
    _column("train_cross_entropy", _FLOAT, "nats/image", "averaged over the steps of the epoch as they went"),
    _column("train_squared_error", _FLOAT, "1/image", "averaged over the steps of the epoch as they went"),
    _column("validation_cross_entropy", _FLOAT, "nats/image", "after the epoch; null where validation is trained on"),
    _column("validation_squared_error", _FLOAT, "1/image", "after the epoch; null where validation is trained on"),
    _column("seconds", _FLOAT, "s", "wall time of the epoch"),
)

SCORES = _schema(
    "scores",
    _TRIAL_ID,
    _column("split", _TEXT, "", "images that were measured: train or test", nullable=False),
    _column("evaluator", _TEXT, "", "what measured: reconstruction, linear_classifier, k_means, ...", nullable=False),
    _column("metric", _TEXT, "", "what was measured: squared_error, cross_entropy, error, ...", nullable=False),
    _column("value", _FLOAT, "see column unit", "never null, never NaN", nullable=False),
    _column("unit", _TEXT, "", "unit of value", nullable=False),
    _column("direction", _TEXT, "", "lower or higher is better, or none", nullable=False),
)

IMAGE_SCORES = _schema(
    "image_scores",
    _TRIAL_ID,
    _column("evaluator", _TEXT, "", "what measured: reconstruction, linear_classifier, ...", nullable=False),
    _column("metric", _TEXT, "", "what was measured: squared_error, error, ...", nullable=False),
    _column("unit", _TEXT, "", "unit of the values", nullable=False),
    _column(
        "values",
        pa.list_(pa.float16()),
        "see column unit",
        "of each test image in turn, (test images,); their mean is the value in scores",
        nullable=False,
    ),
)

CODES = _schema(
    "codes",
    _TRIAL_ID,
    _column("image", _INT, "", "index of the test image, from 0", nullable=False),
    _column("label", _INT, "", "its class; null where the data has no labels"),
    _column("code", pa.list_(pa.float16()), "", "the code, (code_size,)", nullable=False),
    _column(
        "reconstruction", pa.list_(pa.float16()), "", "pixels in [0, 1], row by row; null but for the first images"
    ),
)

PICTURES = _schema(
    "pictures",
    _TRIAL_ID,
    _column("kind", _TEXT, "", "filter, map, switch, walk or sample", nullable=False),
    _column("layer", _TEXT, "", "name of the layer, image for the image itself; null of a walk or sample"),
    _column("depth", _INT, "", "place of the layer, from 0, which is the image; null of a walk or sample"),
    _column("index", _INT, "", "of the filter or map in its layer, of the step or sample, from 0", nullable=False),
    _column("height", _INT, "pixels", "1 of a fully connected layer", nullable=False),
    _column("width", _INT, "pixels", "all units of a fully connected layer", nullable=False),
    _column(
        "values",
        pa.list_(pa.float16()),
        "",
        "row by row, (height x width,): weights, outputs, positions 0 to 3 of switches, pixels in [0, 1]",
        nullable=False,
    ),
)

TABLES: dict[str, pa.Schema] = {
    "trials": TRIALS,
    "epochs": EPOCHS,
    "scores": SCORES,
    "image_scores": IMAGE_SCORES,
    "codes": CODES,
    "pictures": PICTURES,
}


def table_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Return ``rows`` as an Arrow table of schema ``TABLES[name]``.

    Raises:
        KeyError: a row has a column that the schema lacks (a typing mistake would otherwise lose a value in silence).
        pyarrow.ArrowInvalid: a value does not fit its column.
    """
    schema = TABLES[name]
    if unknown := set[str]().union(*rows) - set(schema.names):
        raise KeyError(f"table {name} has no column {sorted(unknown)}")
    table = pa.Table.from_pylist(rows, schema=schema)
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise pa.ArrowInvalid(f"column {field.name} of table {name} must not be null")
    return table
