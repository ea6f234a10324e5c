"""DeePMD-kit's weights: the program's numbers, and what is refused."""

import json

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import adiabat
from adiabat import checkpoint
from adiabat.data.info import DataInfo
from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.deepmd import from_kit, read_deep_potential
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original, read_original
from adiabat.testing.parity import parity

KITS = ["se-e2-a", "se-e2-a-twoside", "se-e2-r", "se-e3", "hybrid", "fparam-atomener", "se-e2-a-zbltab"]
KITS += ["dpa1-concat", "dpa1-econf", "dpa1-noattn-v2", "dpa1-strip-smooth", "se-e3-tebd"]
KITS += ["dpa2", "dpa2-paper-like", "dpa3", "dpa3-static"]


def _options_and_weights(shared, name):
    folder = shared / "golden" / f"dp-{name}"
    meta = json.loads((folder / "meta.json").read_text())
    return meta["resolved_hyperparameters"], load_file(folder / "weights.safetensors")


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / f"dp-{name}"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {d.quantity for d in report.deviations} == {"atomic_energies", "energy", "forces", "stress", "virial"}
    assert all(d.cases >= 9 for d in report.deviations if d.quantity in ("energy", "forces"))


def test_parity_of_the_published_model(shared):
    report = parity(Kit(shared / "golden" / "dpa2-real-water"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert all(d.cases == 3 for d in report.deviations if d.quantity in ("energy", "forces"))


def test_parity_with_magnetic_moments(shared):
    report = parity(Kit(shared / "golden" / "dp-spin"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    wanted = {"atomic_energies", "energy", "forces", "magnetic_forces", "stress", "virial"}
    assert {d.quantity for d in report.deviations} == wanted
    largest = {d.quantity: d.largest for d in report.deviations}
    assert largest["magnetic_forces"] > 1e-3
    assert "not symmetric" in report.skipped["co_on_cu111_mixed_pbc/virial"]


TENSORS = {"dipole": ("dipole", "global_dipole", "forces", "virial"), "polar": ("polar", "global_polar")}
TENSORS |= {"dos": ("dos", "atom_dos"), "property": ("foo", "atom_foo")}


@pytest.mark.parametrize("name", TENSORS)
def test_parity_of_other_properties(shared, name):
    report = parity(Kit(shared / "golden" / f"dp-{name}"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {d.quantity for d in report.deviations} == set(TENSORS[name])
    assert all(d.cases >= 9 for d in report.deviations)


def test_structures_with_more_neighbors_than_slots_are_left_out_with_a_reason(shared):
    report = parity(Kit(shared / "golden" / "dp-se-e2-a"))
    assert "drops the farthest" in report.skipped["cu_primitive"]
    assert report.skipped["ethanol/virial"] == "not compared without periodicity"


def test_parameters_matter(shared):
    kit = Kit(shared / "golden" / "dp-fparam-atomener")
    imported, outputs, atoms = from_kit(kit), kit.outputs(), kit.structures()["ethanol"]
    model = imported.potentials[""]
    graph = Graph.build(System.from_ase(atoms), model.cutoff)
    assert imported.inputs is not None
    energies = []
    for case in ("ethanol", "acetamide"):
        imported.inputs(model, atoms, {name: outputs[f"{case}/{name}"] for name in ("fparam", "aparam")})
        energies.append(float(evaluate(model, graph, ("energy",)).energy))
    assert energies[0] == pytest.approx(float(outputs["ethanol/energy"][0]), rel=1e-12)
    assert energies[1] != pytest.approx(energies[0], rel=1e-6)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (None, {"type": "linear"}, "type is 'linear'"),
        ("fitting", {"type": "population"}, "a fitting 'population', which has no page"),
        ("fitting", {"dim_case_embd": 2}, "dim_case_embd is 2"),
        ("fitting", {"atom_ener": [None] + [0.1] * 7}, "atom_ener"),
        ("descriptor", {"type": "loc_frame"}, "a descriptor 'loc_frame', which has no page"),
        ("descriptor", {"neuron": [4, 8, 8]}, "has shape"),
        ("descriptor", {"resnet_dt": True}, "idt"),
        ("dpa3", {"env_protection": 0.1}, "env_protection is 0.1"),
        ("dpa3", {"repflow_args": {"smooth_edge_update": False}}, "smooth_edge_update is False"),
        ("dpa2", {"smooth": False}, "smooth is False"),
    ],
)
def test_what_the_page_does_not_have_is_refused(shared, part, changes, message):
    name = part if part in ("dpa2", "dpa3") else "se-e2-a"
    options, weights = _options_and_weights(shared, name)
    part = "descriptor" if name == part else part
    options |= changes if part is None else {part: options[part] | changes}
    with pytest.raises(CheckpointError, match=message):
        read_deep_potential(options, weights)


def test_statistics_that_differ_from_slot_to_slot_are_refused(shared):
    options, weights = _options_and_weights(shared, "se-e2-a")
    name = "atomic_model.descriptor.sea.mean"
    weights[name] = weights[name] + 0.1 * torch.arange(320)[:, None]
    with pytest.raises(CheckpointError, match="differs from slot to slot"):
        read_deep_potential(options, weights)


def _layers(weights, start):
    layers, depth = [], 0
    while f"{start}{depth}.matrix" in weights:
        own = {"w": "matrix", "b": "bias", "idt": "idt"}
        values = {k: weights.get(f"{start}{depth}.{name}") for k, name in own.items()}
        layers.append(
            {"@class": "Layer", "@variables": {k: None if v is None else v.numpy() for k, v in values.items()}}
        )
        depth += 1
    return {"layers": layers}


def _attention_tree(weights, start):
    def variables(name):
        return {
            "@variables": {
                own: weights[f"{start}{name}.{theirs}"].numpy() for own, theirs in (("w", "matrix"), ("b", "bias"))
            }
        }

    inner = {name: variables(f"attention_layer.{name}") for name in ("in_proj", "out_proj")}
    return {"attention_layer": inner, "attn_layer_norm": variables("attn_layer_norm")}


def _descriptor_tree(options, weights, start):
    if options["type"] == "hybrid":
        parts = [_descriptor_tree(p, weights, f"{start}descrpt_list.{k}.") for k, p in enumerate(options["list"])]
        return options | {"list": parts}
    more, whole = {}, start
    start += {"se_e2_a": "sea.", "se_e3": "seat.", "dpa1": "se_atten."}.get(options["type"], "")
    if options["type"] == "dpa1":
        own = f"{start}dpa1_attention.attention_layers."
        layers = [_attention_tree(weights, f"{own}{k}.") for k in range(options["attn_layer"])]
        more = {
            "attention_layers": {"attention_layers": layers},
            "type_embedding": {
                "embedding": _layers(weights, f"{whole}type_embedding.embedding.embedding_net.layers.")
            },
        }
        more["embeddings_strip"] = {"networks": [_layers(weights, f"{start}filter_layers_strip.networks.0.layers.")]}
    count = len(
        {k.split("networks.")[1].split(".")[0] for k in weights if k.startswith(f"{start}filter_layers.networks")}
    )
    networks = [_layers(weights, f"{start}filter_layers.networks.{k}.layers.") for k in range(count)]
    statistics = {"davg": weights[f"{start}mean"].numpy(), "dstd": weights[f"{start}stddev"].numpy()}
    return options | {"embeddings": {"networks": networks}, "@variables": statistics} | more


def _tree(options, weights):
    """A model in the program's own form, as its documentation and source describe it."""
    start = "atomic_model."
    own = f"{start}fitting_net."
    count = 1 if options["fitting"]["mixed_types"] else len(options["type_map"])
    nets = [_layers(weights, f"{own}filter_layers.networks.{k}.layers.") for k in range(count)]
    given = {k.removeprefix(own): v.numpy() for k, v in weights.items() if k.startswith(own) and "layers" not in k}
    return options | {
        "descriptor": _descriptor_tree(options["descriptor"], weights, f"{start}descriptor."),
        "fitting": options["fitting"] | {"nets": {"networks": nets}, "@variables": given},
        "@variables": {k: weights[start + k].numpy() for k in ("out_bias", "out_std")},
    }


def _energies(model, shared):
    atoms = Kit(shared / "golden" / "dp-hybrid").structures()["water8_pbc"]
    graph = Graph.build(System.from_ase(atoms), model.cutoff)
    return evaluate(model, graph, ("atomic_energies",)).atomic_energies


def _written(value, store):
    """The tree with arrays replaced by what `store` makes of them."""
    if isinstance(value, dict):
        return {k: _written(v, store) for k, v in value.items()}
    if isinstance(value, list):
        return [_written(v, store) for v in value]
    return store(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", ["polar", "dos", "property", "dipole", "dpa2", "dpa2-paper-like", "dpa3"])
def test_checkpoints_of_other_models(shared, tmp_path, name):
    options, weights = _options_and_weights(shared, name)
    given = json.loads((shared / "golden" / f"dp-{name}" / "meta.json").read_text())["config"]
    state = {f"model.Default.{k}": v for k, v in weights.items()} | {"_extra_state": {"model_params": given}}
    torch.save({"model": state}, tmp_path / "model.pt")
    found, wanted = import_original(tmp_path / "model.pt").potentials[""], read_deep_potential(options, weights)
    assert found.model.config == wanted.model.config
    for own, theirs in zip(found.state_dict().items(), wanted.state_dict().items(), strict=True):
        assert own[0] == theirs[0]
        assert torch.equal(own[1], theirs[1])


@pytest.mark.parametrize("name", ["se-e2-a", "hybrid", "se-e3", "dpa1-econf"])
def test_files_in_the_programs_own_form(shared, tmp_path, name):
    options, weights = _options_and_weights(shared, name)
    wanted = _energies(read_deep_potential(options, weights), shared)
    with h5py.File(tmp_path / "model.dp", "w") as file:
        count = iter(range(10_000))
        tree = _written(
            _tree(options, weights), lambda x: file.create_dataset(f"variable_{next(count):04d}", data=x).name
        )
        file.attrs["json"] = json.dumps({"software": "deepmd-kit", "model": tree})
    model = import_original(tmp_path / "model.dp").potentials[""]
    assert torch.equal(_energies(model, shared), wanted)


def test_the_programs_own_form_of_models_that_pass_messages_is_refused_with_a_way_out(tmp_path):
    tree = {"type_map": ["O", "H"], "type": "standard", "descriptor": {"type": "dpa3"}, "fitting": {"type": "ener"}}
    (tmp_path / "model.yaml").write_text("software: deepmd-kit\nmodel: " + json.dumps(tree))
    with pytest.raises(CheckpointError, match=r"convert it with `dp convert-backend` to .pth"):
        import_original(tmp_path / "model.yaml")


def test_yaml_in_the_programs_own_form(shared, tmp_path):
    options, weights = _options_and_weights(shared, "se-e2-r")

    def store(x):
        return {"@class": "np.ndarray", "@is_variable": True, "dtype": x.dtype.name, "value": x.tolist()}

    tree = _written(_tree(options, weights), store)
    text = "software: deepmd-kit\nmodel: " + json.dumps(tree)
    (tmp_path / "model.yaml").write_text(text)
    model = import_original(tmp_path / "model.yaml").potentials[""]
    assert torch.equal(_energies(model, shared), _energies(read_deep_potential(options, weights), shared))


def test_checkpoints_leave_defaults_out(shared, tmp_path):
    """As the program's trainer writes them: a state with the options of the input inside."""
    options, weights = _options_and_weights(shared, "se-e2-a")
    given = json.loads((shared / "golden" / "dp-se-e2-a" / "meta.json").read_text())["config"]
    state = {f"model.Default.{k}": v for k, v in weights.items()} | {"_extra_state": {"model_params": given}}
    torch.save({"model": state}, tmp_path / "model.pt")
    model = import_original(tmp_path / "model.pt").potentials[""]
    assert torch.equal(_energies(model, shared), _energies(read_deep_potential(options, weights), shared))
    state["_extra_state"] = {"model_params": {"model_dict": {"one": given, "two": given}}}
    torch.save({"model": state}, tmp_path / "two.pt")
    with pytest.raises(CheckpointError, match="several models"):
        import_original(tmp_path / "two.pt")


def test_checkpoints_with_tables(shared, tmp_path):
    options, weights = _options_and_weights(shared, "se-e2-a-zbltab")
    given = json.loads((shared / "golden" / "dp-se-e2-a-zbltab" / "meta.json").read_text())["config"]
    state = {f"model.Default.{k}": v for k, v in weights.items()} | {"_extra_state": {"model_params": given}}
    torch.save({"model": state}, tmp_path / "model.pt")
    model = import_original(tmp_path / "model.pt").potentials[""]
    assert torch.equal(_energies(model, shared), _energies(read_deep_potential(options, weights), shared))
    given["descriptor"]["attn_layer"] = 2
    torch.save({"model": state}, tmp_path / "attention.pt")
    with pytest.raises(CheckpointError, match="have no 'atomic_model.models.0.descriptor.se_atten.dpa1_attention"):
        import_original(tmp_path / "attention.pt")


def test_frozen_models_are_recognized_without_running_them(shared):
    path = shared / "weights" / "dpa2" / "frozen_model.pth"
    kit = read_original(path)
    assert kit.name == "dp-dpa2-original"
    assert kit.meta["resolved_hyperparameters"]["type_map"] == ["O", "H"]
    assert kit.weights()["atomic_model.out_bias"].shape == (1, 2, 1)
    golden = Kit(shared / "golden" / "dpa2-real-water")
    model, atoms = import_original(path).potentials[""], golden.structures()["water8_pbc"]
    found = evaluate(model, Graph.build(System.from_ase(atoms), model.cutoff), ("energy", "forces"))
    outputs = golden.outputs()
    assert float(found.energy) == pytest.approx(float(outputs["water8_pbc/energy"].item()), rel=1e-12)
    np.testing.assert_allclose(found.forces.numpy(), outputs["water8_pbc/forces"], rtol=0.0, atol=1e-12)


def test_paddle_programs_hold_no_parameters(shared):
    with pytest.raises(CheckpointError, match="Paddle model, whose parameters lie in another file"):
        import_original(shared / "weights" / "deepmd" / "deeppot_sea.json")


ORDER = [3, 0, 7, 5, 1, 2, 6, 4]


def _reordered(options, weights, name):
    """The same model with its elements in another order; new type k is the old ORDER[k]."""
    kinds, new = len(ORDER), {old: k for k, old in enumerate(ORDER)}
    options = json.loads(json.dumps(options))
    options["type_map"] = [options["type_map"][k] for k in ORDER]
    for pair in options["descriptor"]["exclude_types"]:
        pair[:] = [new[k] for k in pair]
    made = {}
    for key, value in weights.items():
        start, _, rest = key.partition(".networks.")
        place, _, layer = rest.partition(".")
        if "compress" in key or "_networks" in key:
            continue
        if not rest:
            axis = 1 if "out_" in key else 0
            made[key] = value.index_select(axis, torch.tensor(ORDER)) if value.dim() > 1 else value
        elif "fitting" in start:
            made[f"{start}.networks.{new[int(place)]}.{layer}"] = value
        else:
            a, b = new[int(place) % kinds], new[int(place) // kinds]
            a, b = sorted((a, b)) if name == "se-e3" else (a, b)
            made[f"{start}.networks.{a + kinds * b}.{layer}"] = value
    return options, made


@pytest.mark.parametrize("name", ["se-e2-a-twoside", "se-e3"])
def test_the_order_of_elements_does_not_matter(shared, name):
    options, weights = _options_and_weights(shared, name)
    wanted = _energies(read_deep_potential(options, weights), shared)
    found = _energies(read_deep_potential(*_reordered(options, weights, name)), shared)
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["polar", "property"])
def test_other_properties_are_saved_and_loaded(shared, tmp_path, name):
    kit = Kit(shared / "golden" / f"dp-{name}")
    model, atoms = from_kit(kit).potentials[""], kit.structures()["water8_pbc"]
    info = DataInfo(elements=model.elements)
    checkpoint.save(tmp_path / "model.adiabat", model, info)
    found, wanted = (m.predict(atoms) for m in (adiabat.load(tmp_path / "model.adiabat"), adiabat.Model(model, info)))
    assert set(found) == {"polarizability" if name == "polar" else "property"}
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize("name", ["hybrid", "se-e2-a-zbltab", "fparam-atomener"])
def test_saved_and_loaded(shared, tmp_path, name):
    kit = Kit(shared / "golden" / f"dp-{name}")
    model, atoms = from_kit(kit).potentials[""], kit.structures()["water8_pbc"]
    inner = model.model
    if name == "fparam-atomener":
        inner.set_parameters((0.3, -0.2), (0.1,))
    checkpoint.save(tmp_path / "model.adiabat", model, DataInfo(elements=model.elements))
    loaded = checkpoint.load(tmp_path / "model.adiabat").potential
    graph = Graph.build(System.from_ase(atoms), model.cutoff)
    assert torch.equal(evaluate(loaded, graph).energy, evaluate(model, graph).energy)
    if name == "fparam-atomener":
        inner.set_parameters((0.0, 0.0), (0.0,))
        assert not torch.equal(evaluate(loaded, graph).energy, evaluate(model, graph).energy)


def test_damaged_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "no_model.dp", "w") as file:
        file.attrs["json"] = "{}"
    with h5py.File(tmp_path / "no_json.dp", "w") as file:
        file.attrs["json"] = "{"
    (tmp_path / "model.yaml").write_text("software: deepmd-kit\nmodel: !!python/object/apply:os.system [exit]\n")
    for name, message in (("no_model.dp", "no model in it"), ("no_json.dp", "layout"), ("model.yaml", "layout")):
        with pytest.raises(CheckpointError, match=message):
            import_original(tmp_path / name)
