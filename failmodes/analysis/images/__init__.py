"""Pictures of single images: found in the warehouse, made again from their clean image, and checked."""
