"""Finetuning with adapters: selected heads only, or LoRA on all heads."""
