//! The evidence of a malformed payload.

use super::{Category, category};

/// Messages about something else than the payload. Each has a number or a word that also describes a malformed payload.
#[test]
fn category_is_malformed_only_if_the_payload_is() {
    for message in [
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
    ] {
        for code in ["", "UNKNOWN", "ERROR_FROM_TARGET"] {
            assert_ne!(category(code, message), Category::PayloadMalformed, "{code} {message}");
        }
    }
    for message in [
        "Field callId is required",
        "field 'callId' is missing",
        "Payload exceeds maximum size",
        "Unexpected token } in JSON at position 5",
        "Message too long",
        "the request body is too large",
        "HTTP/1.1 422 Unprocessable Entity",
        "{\"status\":422}",
        "crm answered 400",
        "Validation failed: callId",
        "malformed",
        "schema validation error",
        "size exceeded",
    ] {
        assert_eq!(category("", message), Category::PayloadMalformed, "{message}");
    }
}

#[test]
fn category_of_a_status_400_follows_other_words_in_the_message() {
    for (code, message, expected) in [
        ("HTTP_400", "invalid_client", Category::AuthenticationRejected),
        ("HTTP_422", "too many requests", Category::RateLimitExceeded),
        ("HTTP_400", "callId", Category::PayloadMalformed),
        ("400", "", Category::PayloadMalformed),
        (
            "SDK_CLIENT_ERROR",
            "returned HTTP status 413: quota exceeded",
            Category::RateLimitExceeded,
        ),
    ] {
        assert_eq!(category(code, message), expected, "{code} {message}");
    }
}
