"""The OpenAI SDK as it is used most: it has its key from the environment, and does not start
without one."""

import openai
from steps import step

try:
    client = openai.OpenAI(base_url="https://openai.test/v1", max_retries=0)
except openai.OpenAIError as error:
    step(refused=str(error))
    raise SystemExit(3)
step(shape=client.api_key[:8], length=len(client.api_key))
step(models=[model.id for model in client.models.list()])
