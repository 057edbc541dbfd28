/**
 * The loop of Lambda's own Node.js runtime: fetches an event, calls the handler of index.cjs, posts its answer.
 *
 * AWS's client for use outside of Lambda (aws-lambda-ric) was rejected, because it compiles libcurl during its installation.
 * This loop supports only handlers that return a promise.
 */
import http from 'node:http';

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');

function call(method, path, content) {
  return new Promise((resolve, reject) => {
    const body = content === undefined ? undefined : JSON.stringify(content);
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = http.request({ agent, host, port, method, path: `/2018-06-01/runtime/${path}`, headers }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => resolve({ headers: answer.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

function described(error) {
  return { errorType: error?.name ?? typeof error, errorMessage: String(error?.message ?? error), trace: error?.stack?.split('\n') };
}

const { handler } = await import('./index.cjs').catch(async (error) => {
  await call('POST', 'init/error', described(error));
  throw error;
});

for (;;) {
  const { headers, body } = await call('GET', 'invocation/next');
  const context = contextOf(headers);
  try {
    const answer = await handler(JSON.parse(body), context);
    await call('POST', `invocation/${context.awsRequestId}/response`, answer ?? null);
  } catch (error) {
    await call('POST', `invocation/${context.awsRequestId}/error`, described(error));
  }
}
