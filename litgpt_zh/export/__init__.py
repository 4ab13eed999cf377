"""Out of litgpt and back: a Hugging Face folder, a GGUF file for llama.cpp and ollama, and the import of the former."""
