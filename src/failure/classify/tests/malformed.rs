//! The evidence of a malformed payload.

use super::{Category, category};

/// Messages about something else than the payload. Each has a number or a word that also describes a malformed payload.
const OTHER_FAULTS: &[&str] = &[
    // Numbers that are not a status.
    "HikariPool-1 - Connection is not available, request timed out after 30000ms (total=10, active=10, idle=0, waiting=422)",
    "Transaction (Process ID 413) was deadlocked on lock resources. Rerun the transaction.",
    "deadlock detected Detail: Process 422 waits for ShareLock on transaction 7",
    "(conn=422) Lock wait timeout exceeded",
    "Error while fetching metadata with correlation id 400 : {crm=LEADER_NOT_AVAILABLE}",
    "MOVED 413 10.0.0.7:6379",
    "stream 413 was reset: REFUSED_STREAM",
    "ThreadPoolExecutor[Running, pool size = 400, active threads = 400, queued tasks = 413]",
    "Daily quota of 400 exceeded",
    "X-RateLimit-Limit: 400; rate limit exceeded",
    "Rate limit exceeded: 400 calls per minute",
    "max_connections=400",
    // AWS errors of several SDKs.
    "ThrottlingException: Rate exceeded\n\tstatus code: 400, request id: 4f2c",
    "AccessDeniedException: not authorized\n\tstatus code: 400, request id: 4f2c",
    "ThrottlingException: Rate exceeded { '$fault': 'client', '$metadata': { httpStatusCode: 400, requestId: 'a-b' } }",
    "AWS HTTP error: Client error: `POST https://sqs` resulted in a `400 Bad Request` response: {\"__type\":\"KmsDisabled\"}",
    "The request must contain the parameter MessageGroupId. (Service: AmazonSQS; Status Code: 400; Error Code: MissingParameter; Request ID: 1)",
    "Invalid parameter: TopicArn (Service: AmazonSNS; Status Code: 400; Error Code: InvalidParameter; Request ID: 1)",
    // A status 400 whose text names another cause.
    "HTTP 400: {\"message\":\"Rate limit exceeded\"}",
    "Request failed with status code 400: token expired",
    "oauth2: cannot fetch token: 400 Bad Request Response: {\"error\":\"invalid_grant\"}",
    "400 No required SSL certificate was sent",
    "400 Bad Request: The plain HTTP request was sent to HTTPS port",
    "400 Request Header Or Cookie Too Large",
    // Sizes of other things.
    "RangeError: Maximum call stack size exceeded",
    "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    "connection pool size limit reached",
    "queue length limit exceeded",
    "Disk quota exceeded; log file size limit reached",
    // Schemas of databases and registries.
    "Invalid URL 'crm.example/hook': No schema supplied. Perhaps you meant https://crm.example/hook?",
    "no schema has been selected to create in",
    "Error retrieving Avro value schema for id 12",
    "Neo.TransientError.Schema.Modified",
    "SchemaManagementException: Schema-validation: missing table [crm]",
    "cached plan must not change result type; schema updated",
    // Addresses, tokens, certificates and answers.
    "java.net.MalformedURLException: no protocol: crm.example/hook",
    "URIError: URI malformed",
    "Get \"https://crm\": malformed HTTP response",
    "Malformed access token",
    "x509: malformed issuer",
    "IDX10503: Signature validation failed.",
    "IDX10214: Audience validation failed.",
    "IDX10205: Issuer validation failed.",
    "HMAC validation failed",
    "sun.security.validator.ValidatorException: PKIX path validation failed: validity check failed",
    "License validation failed",
    "Config validation error: CRM_URL is not set",
    "invalid json response body at https://crm.example: Unexpected token < in JSON at position 0",
    // Settings, logins, files.
    "Missing required parameter: client_secret",
    "MissingRequiredParameter: Missing required key 'QueueUrl' in params",
    "EINVAL: invalid argument, read",
    "open /mnt/efs/x: invalid argument",
    "Could not deserialize key data",
    "Failed to deserialize response from CRM",
    "Serialization error: could not serialize access due to concurrent update",
    "InvalidMessage(InvalidContentType)",
    "The role defined for the function cannot be assumed by Lambda.",
    // Faults of other things near the words of a payload.
    "connect ECONNREFUSED 10.0.0.7:443\n    at JSON.parse (<anonymous>)",
    "Task timed out after 3.00 seconds while parsing the body",
    "unexpected EOF reading request body",
    "getaddrinfo ENOTFOUND schema-validator.internal",
    "Schema validation service unavailable",
    "payload parsing service is down",
    "Invocation of json-parser failed: Rate exceeded",
    "Access denied: role schema-validation-role",
    "Error: Cannot find module 'body-parser'",
    "NameError: name 'validate_schema' is not defined",
    "Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
    "Unexpected token < in JSON at position 0",
    "requests.exceptions.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    "Server returned invalid JSON",
    "Parse Error: Expected HTTP/",
    "Cannot read properties of undefined (reading 'required')",
    "'Settings' object has no attribute 'required_scopes'",
    "1 validation error for Settings\ncrm_url\n  Field required [type=missing]",
    "Missing required property: region in ClientConfiguration",
    "Missing required field 'client_id'",
    "CRM response is missing required field 'id'",
    "Invalid payload signature",
    "invalid HMAC for body",
    "JWT payload invalid",
    "Your request exceeds the maximum number of concurrent requests",
    "The event exceeded the maximum event age",
    "Event exceeded max retries",
    "Request exceeded the maximum execution time",
    "Request waiting too long for connection",
    "Message processing takes too long",
    "Event loop blocked for too long",
    "SSL_ERROR_RX_RECORD_TOO_LONG",
    "ItemCollectionSizeLimitExceededException",
    "ERROR: schema \"crm\" does not exist",
    "ERROR: permission denied for schema public",
    "Schema version mismatch detected",
    "SerializationException: Error registering Avro schema",
    "ERROR 2027 (HY000): Malformed packet",
    "Parameter validation failed:\nMissing required parameter in input: \"Bucket\"",
    "curl 92 HTTP/2 stream 413 was not closed cleanly",
    "[422] worker crashed with SIGKILL",
    "partition (413) has no leader",
    "got 400 partitions",
    "422 tasks in queue",
    "SqlException: error code: 422",
    "exited with code 400",
    "body (expected: 1024; received: 413)",
    "LAMBDA_RUNTIME Failed to post handler success response. Http response code: 413.",
    "HTTP 400: Bad Request - Invalid Hostname",
    "HTTP 413: Request Header Fields Too Large",
];

const PAYLOAD_FAULTS: &[&str] = &[
    "Field callId is required",
    "field 'callId' is missing",
    "Payload exceeds maximum size",
    "Unexpected token } in JSON at position 5",
    "Message too long",
    "the request body is too large",
    "HTTP/1.1 422 Unprocessable Entity",
    "{\"status\":422}",
    "crm answered 400",
    "Server responded with a 400",
    "status code is 422",
    "Response status code does not indicate success: 422.",
    "request failed (422)",
    "400: callId",
    "Invalid payload: missing callId",
    "Failed to parse payload: Unexpected token } in JSON at position 5",
    "Required request body is missing",
    "json: cannot unmarshal string into Go value",
    "Validation failed: callId",
    "malformed",
    "schema validation error",
    "size exceeded",
];

#[test]
fn category_is_malformed_only_if_the_payload_is() {
    let mut wrong = Vec::new();
    for message in OTHER_FAULTS {
        for code in ["", "UNKNOWN", "ERROR_FROM_TARGET"] {
            if category(code, message) == Category::PayloadMalformed {
                wrong.push(message);
            }
        }
    }
    for message in PAYLOAD_FAULTS {
        if category("", message) != Category::PayloadMalformed {
            wrong.push(message);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn category_of_a_status_400_follows_other_words_in_the_message() {
    for (code, message, expected) in [
        ("HTTP_400", "invalid_client", Category::AuthenticationRejected),
        ("HTTP_422", "too many requests", Category::RateLimitExceeded),
        ("HTTP_400", "callId", Category::PayloadMalformed),
        ("400", "", Category::PayloadMalformed),
        ("BAD_REQUEST", "Rate limit exceeded", Category::RateLimitExceeded),
        ("ValidationException", "callId", Category::PayloadMalformed),
        (
            "ValidationException",
            "table missing (Service: DynamoDb, Status Code: 400, Request ID: 1)",
            Category::Unknown,
        ),
        (
            "HTTP_400",
            "The KMS key is disabled. (Service: Sqs, Status Code: 400, Request ID: 1)",
            Category::Unknown,
        ),
        ("Runtime.MalformedHandlerName", "Bad handler", Category::Unknown),
        (
            "SDK_CLIENT_ERROR",
            "returned HTTP status 413: quota exceeded",
            Category::RateLimitExceeded,
        ),
    ] {
        assert_eq!(category(code, message), expected, "{code} {message}");
    }
}
