"""How a build runs: recipes, stages, store, workers, commands; and the runtime that ships."""
