import torch

from tasks.packaging import tensors


def test_content_names_values_whatever_their_order_or_memory():
    whole = torch.arange(6.0).view(2, 3)
    one = {"b": whole.T, "a": whole[0]}
    other = {"a": torch.tensor([0.0, 1.0, 2.0]), "b": whole.T.contiguous()}
    assert tensors.content(one) == tensors.content(other)
    assert tensors.content(one) != tensors.content({"a": one["b"], "b": one["a"]})


def test_what_is_stored_shares_no_memory():
    whole = torch.zeros(4, requires_grad=True)
    found = tensors.plain({"all": whole, "half": whole[:2]})
    found["half"] += 1
    assert found["all"].sum() == 0
    assert not found["all"].requires_grad
