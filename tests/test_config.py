"""Configurations: YAML, overrides, templates and schemas; wrong ones are refused in one sentence."""

import pytest
import yaml

from adiabat.architectures import METHODS
from adiabat.architectures.local.local import LocalConfig
from adiabat.config import RunConfig, load_config, schema, template, to_yaml
from adiabat.descriptors import DESCRIPTORS
from adiabat.errors import ConfigError
from adiabat.fit.gradient import GradientConfig
from adiabat.fit.kernel import KernelConfig

BASE = {"data": {"file": "x.xyz"}, "model": {"method": "schnet", "channels": 16}}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(BASE))
    return file


def test_overrides_reach_every_depth(path):
    run = load_config(path, ["fit.loss.forces=5", "model.layers=2", "seed=7", "fit.stage_two={start: 3}"])
    assert run.model.layers == 2
    assert run.model.channels == 16
    assert run.seed == 7
    assert isinstance(run.fit, GradientConfig)
    assert run.fit.loss.forces.weight == 5.0
    assert run.fit.stage_two.start == 3


def test_the_method_chooses_the_fitter():
    run = RunConfig.parse({"data": {"file": "x"}, "model": {"method": "sgdml"}, "fit": {"regularizations": [1e-8]}})
    assert isinstance(run.fit, KernelConfig)
    with pytest.raises(ConfigError, match="no effect on sgdml"):
        RunConfig.parse({"data": {"file": "x", "scale": 2.0}, "model": {"method": "sgdml"}})
    with pytest.raises(ConfigError, match="in fit: 'epochs'"):
        RunConfig.parse({"data": {"file": "x"}, "model": {"method": "sgdml"}, "fit": {"epochs": 3}})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.chanels=3"], "Did you mean 'channels'"),
        (["model.method=shnet"], "Did you mean 'schnet'"),
        (["fit.epoch=3"], "Did you mean 'epochs'"),
        (["fit.loss.force=3"], "Did you mean 'forces'"),
        (["fit.optimizer.kind=adm"], "fit"),
        (["data.fil=a"], "Did you mean 'file'"),
        (["colour=red"], "not an option"),
        (["fit.epochs=-1"], "epochs"),
        (["dtype=float16"], "dtype"),
        (["data.train=a.xyz"], "either"),
        (["data.test=a.xyz"], "no effect"),
        (["data.split.key=name"], "no effect"),
        (["fit.schedule.gamma=0.5"], "no effect"),
        (["fit.stage_two.start=500"], "no effect"),
        (["nonsense"], "key=value"),
    ],
)
def test_wrong_options_are_named(path, overrides, words):
    with pytest.raises(ConfigError, match=words):
        load_config(path, overrides)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="template"):
        load_config(tmp_path / "absent.yaml")
    file = tmp_path / "a.yaml"
    file.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(file)
    file.write_text("a: [1\n")
    with pytest.raises(ConfigError, match="YAML"):
        load_config(file)
    file.write_text("data: {file: x}\n")
    with pytest.raises(ConfigError, match=r"model\.method is missing"):
        load_config(file)


def test_written_configurations_give_the_same_run(tmp_path):
    run = RunConfig.parse(BASE | {"fit": {"stage_two": {"start": 3}, "group_weights": {"a": 2.0}}})
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(run))
    assert load_config(file) == run


@pytest.mark.parametrize("name", list(METHODS))
def test_templates_hold_every_option_and_load(tmp_path, name):
    text = template(name, "data.xyz")
    file = tmp_path / "config.yaml"
    file.write_text(text)
    run = load_config(file)
    assert run == RunConfig.parse({"data": {"file": "data.xyz"}, "model": {"method": name}, "output": f"run-{name}"})
    for option in type(run.model).model_fields:
        assert f"  {option}:" in text


@pytest.mark.parametrize("kind", list(DESCRIPTORS))
def test_template_of_a_chosen_descriptor(tmp_path, kind):
    choices = [f"model.descriptor.kind={kind}", "model.regressor.kind=network", "fit.epochs=7"]
    text = template("local", overrides=choices)
    (tmp_path / "config.yaml").write_text(text)
    run = load_config(tmp_path / "config.yaml")
    assert isinstance(run.model, LocalConfig)
    assert isinstance(run.fit, GradientConfig)
    assert (run.model.descriptor.kind, run.model.regressor.kind, run.fit.epochs) == (kind, "network", 7)
    for option in type(run.model.descriptor).model_fields:
        assert f"    {option}:" in text
    assert all(other in text for other in DESCRIPTORS)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_option_has_a_help_text(name):
    def check(kind):
        for option, info in kind.model_fields.items():
            assert option == "method" or info.description, f"{kind.__name__}.{option} has no docstring"

    run = RunConfig.parse({"data": {"file": "x"}, "model": {"method": name}})
    for part in (run, run.data, run.data.split, run.model, run.fit):
        check(type(part))


def test_schema_of_one_and_of_all():
    one = schema("schnet")
    assert "cutoff" in one["properties"]["model"]["properties"]
    assert one["properties"]["model"]["properties"]["cutoff"]["description"]
    every = schema()
    names = {kind["properties"]["method"]["const"] for kind in every["properties"]["model"]["anyOf"]}
    assert names == set(METHODS)
    assert set(every["required"]) == {"data", "model"}
